"""Step 1 of 5, the thinking: from a checked request to the row that will be stored."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from pydantic_core import to_json

from ingress.call_request import MAX_PLAYS, CallRequest, check
from ingress.problems import MemberError, Problem, invalid
from ingress.switches import Switches
from shared import phone, quiet, speech
from shared.db.queries.accept import NewMessage
from shared.db.queries.providers import KeyOwner
from shared.ids import new_id
from shared.lifecycle import Lane, Mode
from shared.retry_policy import REDIAL
from shared.sealing import Sealer
from shared.sending_rules import written
from shared.settings import Settings
from shared.stops import Called
from shared.times import rfc3339
from shared.voices import Voices

#: How long a message lives by its type, in seconds, and what a sender may ask for.
TTL_S: Final = {Lane.OTP: 120, Lane.ALERT: 1800, Lane.NOTIFICATION: 14400}
LONGEST_TTL: Final = timedelta(days=1)
SHORTEST_TTL: Final = timedelta(seconds=15)
FARTHEST: Final = timedelta(days=7)
#: Repeats after 8x8's own faults that cost nothing of what the sender allows; none when it set a number itself.
_SPARE_ATTEMPTS: Final = 5
_SORTED: Final = json.JSONEncoder(sort_keys=True)


@dataclass(frozen=True, slots=True)
class Sound:
    """What a request that breaks no rule comes to."""

    number: phone.PhoneNumber
    source: str
    text: str = field(repr=False)
    voice: str
    endpoint_id: str | None
    scheduled_at: datetime | None
    warnings: list[str]


@dataclass(frozen=True, slots=True)
class Intake:
    """Turns bodies into rows; what it needs to know beyond the request."""

    settings: Settings
    sealer: Sealer
    own_country: str
    now: Callable[[], float] = time.time  # seconds since 1970; PostgreSQL's, as it keeps the deadlines
    switches: Switches | None = None

    @staticmethod
    def read(body: Any) -> CallRequest:
        """
        The request, as far as its own members tell.

        Raises:
            Problem: 422, naming every member that breaks its rule.
        """
        call = check(body)
        if isinstance(call, list):
            raise invalid(call)
        return call

    def fingerprint(self, body: Any, mode: Mode = Mode.LIVE) -> bytes:
        """Equal for bodies that say the same, whatever their order and spaces; never a test's and a live one's."""
        said = _SORTED.encode(body)
        return self.sealer.fingerprint((said if mode is Mode.LIVE else f"test {said}").encode())

    def row(self, call: CallRequest, fingerprint: bytes, owner: KeyOwner, voices: Voices) -> NewMessage:
        """
        The row of one request.

        Raises:
            Problem: 422, naming what this provider may not ask for here and now; 429 or 503 where nobody may.
        """
        sound = self.checked(call, owner, voices)
        number, text = sound.number, sound.text
        message_id, kind, is_test = new_id("msg"), call.lane, owner.mode is Mode.TEST
        if self.switches is not None and not is_test:
            called = Called(owner.provider_id, kind, sound.source, number.country, number.e164)
            self.switches.check(called, sound.scheduled_at, self.now())
        content = to_json({"destination": number.e164, "text": text})
        return NewMessage(
            id=message_id,
            provider_id=owner.provider_id,
            message_id=call.messageId,
            fingerprint=fingerprint,
            lane=Lane.TEST if is_test else kind,
            content=self.sealer.seal(content, row=message_id),
            destination_key=self.sealer.destination_key(number.e164),
            destination_masked=number.masked,
            country=number.country,
            source=sound.source,
            voice=sound.voice,
            speed=call.speed,
            plays=call.plays,
            seconds_per_play=speech.seconds_per_play(text, call.speed, sound.voice),
            interruptible=call.interruptible,
            max_attempts=call.redial.maxAttempts or REDIAL[kind].max_attempts,
            spare_attempts=0 if call.redial.maxAttempts else _SPARE_ATTEMPTS,
            redial_unknown=call.redial.onUnknown == "redial",
            endpoint_id=sound.endpoint_id,
            metadata=call.metadata,
            warnings=sound.warnings,
            scheduled_at=sound.scheduled_at,
            expires_at=call.expiresAt,
            ttl_s=None if call.expiresAt else call.ttlSeconds or TTL_S[kind],
            test_type=kind if is_test else None,
        )

    def checked(self, call: CallRequest, owner: KeyOwner, voices: Voices) -> Sound:
        """
        What a request comes to, whatever is stopped or used up for the moment.

        Raises:
            Problem: 422, naming what this provider may not ask for.
        """
        errors = _Errors()
        warnings = _clamped(call)
        text = self._text(call, errors, warnings)
        voice = errors.unless(lambda: voices.choose(call.language, call.voice), "voice" if call.voice else "language")
        self._check_times(call, errors)
        endpoint_id = self._endpoint(call, owner, errors)
        errors.raise_if_any()
        number, source = self._destination(call, owner), self._source(call)
        is_test = owner.mode is Mode.TEST
        scheduled_at = call.scheduledAt if is_test else self._waited(call, owner, number.country, warnings)
        return Sound(number, source, text, voice or "", endpoint_id, scheduled_at, warnings)

    def countries(self, owner: KeyOwner) -> tuple[str, ...]:
        """Where the provider may call, ISO alpha-2; ``*``: anywhere."""
        return owner.countries or self.settings.allowed_countries or (self.own_country,)

    def _text(self, call: CallRequest, errors: _Errors, warnings: list[str]) -> str:
        said = call.message or ""
        if len(said) > self.settings.message_max_length:
            errors.add("message", f"may have at most {self.settings.message_max_length} characters")
            return ""
        cleaned, removed = speech.sanitise(said)
        warnings += [f"message: {sentence}" for sentence in removed]
        if not cleaned:
            errors.add("message", "has nothing that can be spoken")
            return ""
        language = call.voice or call.language or self.settings.default_language
        return errors.unless(lambda: speech.spoken_text(cleaned, call.code, language), "message") or ""

    def _check_times(self, call: CallRequest, errors: _Errors) -> None:
        now = datetime.fromtimestamp(self.now(), UTC)
        begins = call.scheduledAt or now
        if call.ttlSeconds is not None and call.expiresAt is not None:
            errors.add("expiresAt", "cannot come together with ttlSeconds")
        if begins > now + FARTHEST:
            errors.add("scheduledAt", "may lie at most 7 days ahead")
        begins = max(begins, now)
        if call.expiresAt is not None and not SHORTEST_TTL <= call.expiresAt - begins <= LONGEST_TTL:
            errors.add("expiresAt", "must lie 15 seconds to 1 day after the call may begin")

    def _waited(self, call: CallRequest, owner: KeyOwner, country: str, warnings: list[str]) -> datetime | None:
        """When to call, quiet hours kept."""
        rules = owner.rules
        keeps = call.lane is Lane.NOTIFICATION or (call.lane is Lane.ALERT and rules.quiet_alerts)
        if rules.quiet_hours is None or not keeps:
            return call.scheduledAt
        now = datetime.fromtimestamp(self.now(), UTC)
        begins = max(call.scheduledAt or now, now)
        until = quiet.ends(begins, rules.quiet_hours, country)
        if until == begins:
            return call.scheduledAt
        if until is None or (call.expiresAt is not None and call.expiresAt - until < SHORTEST_TTL):
            said = f"is quiet hours ({written(rules.quiet_hours)}) in {country} until the deadline"
            raise Problem("quiet_hours", f"customerPhone: {said}.", errors=[MemberError("customerPhone", said)])
        warnings.append(f"scheduledAt: became {rfc3339(until)}, the end of the quiet hours in {country}.")
        return until

    @staticmethod
    def _endpoint(call: CallRequest, owner: KeyOwner, errors: _Errors) -> str | None:
        if call.callbackUrl is None:
            return None
        endpoint_id = owner.endpoints.get(call.callbackUrl)
        if endpoint_id is None:
            errors.add("callbackUrl", "is not among the provider's registered endpoints")
        return endpoint_id

    def _destination(self, call: CallRequest, owner: KeyOwner) -> phone.PhoneNumber:
        try:
            return phone.parse_destination(call.customerPhone, self.countries(owner), self.settings.denied_prefixes)
        except phone.NumberNotAllowedError as error:
            said = [MemberError("customerPhone", str(error))]
            raise Problem("number_not_allowed", f"customerPhone: {error}.", errors=said) from None
        except phone.CountryNotAllowedError as error:
            said = [MemberError("customerPhone", str(error))]
            raise Problem("country_not_allowed", f"customerPhone: {error}.", errors=said) from None
        except ValueError as error:
            raise invalid([MemberError("customerPhone", str(error))]) from None

    def _source(self, call: CallRequest) -> str:
        if call.source is None:
            return self.settings.sources[0]
        source = "+" + call.source.lstrip("+")
        if source not in self.settings.sources:
            said = [MemberError("from", "must be one of the configured caller ids")]
            raise Problem("source_not_allowed", "from: must be one of the configured caller ids.", errors=said)
        return source


def _clamped(call: CallRequest) -> list[str]:
    if call.repetition <= MAX_PLAYS:
        return []
    return [f"repetition: 8x8 speaks a text at most {MAX_PLAYS} times; {call.repetition} became {MAX_PLAYS}."]


class _Errors:
    """Gathers what is wrong, so that one answer can name it all."""

    def __init__(self) -> None:
        self._found: list[MemberError] = []

    def add(self, member: str, message: str) -> None:
        self._found.append(MemberError(member, message))

    def unless(self, make: Any, member: str) -> str | None:
        """What *make* gives, or None after noting its ValueError, whose text may name the member itself."""
        try:
            made: str = make()
        except ValueError as error:
            named, colon, sentence = str(error).partition(": ")
            self.add(named if colon else member, sentence if colon else named)
            return None
        return made

    def raise_if_any(self) -> None:
        if self._found:
            raise invalid(self._found)
