"""8x8's codes as tables: refusals of a callflow (section "statusCode") and errors in a session summary."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

# 8x8 shows -1007 with 400 and -1013 with 422 only; the others follow: unreadable is 400, refused 422.
REFUSALS: Final[dict[int, tuple[int, str]]] = {
    -1001: (400, "Invalid JSON"),
    -1002: (422, "Invalid voice profile or language"),
    -1003: (422, "maxDigits is required when minDigits is given"),
    -1004: (422, "DTMF callback URL is missing"),
    -1005: (422, "overallTimeout is required when digitTimeout is given"),
    -1006: (422, "overallTimeout must be greater than digitTimeout"),
    -1007: (400, "Invalid action"),
    -1008: (422, "maxDigits is required when completeOnHash is false"),
    -1009: (400, "Invalid entry"),
    -1010: (422, "Action used more often than allowed"),
    -1011: (422, "More than one destination is not allowed"),
    -1012: (422, "Hangup action is misplaced"),
    -1013: (422, "First action must be makeCall"),
    -1014: (422, "Caller ID is not allowed"),
    -1015: (422, "Validity period is already over"),
    -1016: (422, "Text contains characters that are not accepted"),
    -1017: (422, "Invalid MSISDN format in Destination"),
    -1018: (422, "Scenario cannot be mixed with other actions"),
    -1019: (422, "Scenario name is empty"),
    -1020: (422, "Scenario name is invalid or not permitted"),
    -9999: (500, "Unknown error"),
    401: (401, "Authentication header not found or token invalid"),
    403: (403, "Access to the resource is forbidden"),
    404: (404, "Subaccount not found"),
    429: (429, "Too many requests"),
    500: (500, "Internal server error"),
}

CALL_ERRORS: Final[dict[int, str]] = {
    -2001: "Internal error",
    -2002: "Internal connectivity error",
    -2003: "The call flow provided is invalid",
    -2004: "No coverage for the destination area",
    -2005: "The text could not be synthesised",
    -2006: "The playback file could not be downloaded",
    -2007: "The validity period ended before execution",
    -2008: "Caller ID is not allowed",
    -2009: "The scenario parameters are invalid",
    -2010: "The trunk capacity has been exceeded",
    -9999: "Unknown error",
}


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a callflow was not created: 8x8's statusCode and its text."""

    code: int
    message: str

    @classmethod
    def of(cls, code: int) -> Refusal:
        """Take the text from the table; a code 8x8 does not list gets a general one."""
        return cls(code, REFUSALS[code][1] if code in REFUSALS else "Request refused")

    @property
    def http_status(self) -> int:
        """The HTTP status that goes with the code; 422 for a code 8x8 does not list."""
        return REFUSALS[self.code][0] if self.code in REFUSALS else 422
