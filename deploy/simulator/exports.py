"""
8x8's call log export: the only query API, a CSV made by a job.

A job moves one step with each look at it: queued, running, then succeeded (or empty). A date stands for its
midnight and the default ``to`` is today: the reading that leaves today's calls out, so that nobody relies on
it.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from deploy.simulator.call import Call, new_id
from deploy.simulator.payloads import in_seconds, leg_status
from deploy.simulator.voices import calling_code_of, country_of

STEPS: Final = ("queued", "running")
KEPT_FOR: Final = timedelta(days=30)
DEFAULT_PERIOD: Final = timedelta(days=7)
COLUMNS: Final = (
    "SessionId",
    "CallId",
    "AccountId",
    "SubAccountId",
    "Direction",
    "SourceCountryCode",
    "SourceCountry",
    "SourceOperator",
    "SourceMCC",
    "SourceMNC",
    "SourceEndpoint",
    "DestinationCountryCode",
    "DestinationCountry",
    "DestinationOperator",
    "DestinationMCC",
    "DestinationMNC",
    "DestinationEndpoint",
    "InitiatedAt",
    "ConnectedAt",
    "DisconnectedAt",
    "DurationInSec",
    "Product",
    "BillingUnit",
    "BillingIncrement",
    "BillableDurationInSec",
    "UnitPrice",
    "UnitPriceCurrency",
    "TotalPriceOfCall",
    "CallType",
    "SipStatus",
    "SessionStatus",
    "CallStatus",
    "TTSLength",
    "MOS",
    "Content",
)
_KEPT_JOBS: Final = 100
_SIP_STATUS: Final = {"BUSY": 486, "NO_ANSWER": 480, "CANCELED": 487, "FAILED": 404, "ERROR": 503}


_SPACED: Final = re.compile("(?<=[a-z])([A-Z])")


class ExportError(ValueError):
    """The request for an export cannot be read."""


@dataclass(slots=True)
class ExportJob:
    """One export; ``looks`` counts how often its status was asked for."""

    job_id: str
    calls: list[Call]
    created_at: datetime
    looks: int = 0
    is_cancelled: bool = False
    ends_as: str | None = None  # a fault: whatever it gathered
    files: int = 1

    def as_json(self, url: str) -> dict[str, Any]:
        """Report the status, and count this look; *url* is where the CSV lies, but for the file's number."""
        status = self._status()
        self.looks += 1
        body: dict[str, Any] = {"jobId": self.job_id, "status": status}
        if status == "succeeded":
            urls = [f"{url}?file={number}" if number else url for number in range(self.files)]
            body |= {"data": urls, "expires": in_seconds(self.created_at + KEPT_FOR)}
        return body

    def _status(self) -> str:
        if self.is_cancelled:
            return "cancelled"
        if self.looks < len(STEPS):
            return STEPS[self.looks]
        return self.ends_as or ("succeeded" if self.calls else "empty")

    def file(self, number: int) -> list[Call]:
        """The calls of one of its files."""
        return self.calls[number :: self.files]


def new_job(body: Any, calls: Sequence[Call], *, now: datetime) -> ExportJob:
    """Choose the finished *calls* asked for. Raises ``ExportError``."""
    if not isinstance(body, dict):
        raise ExportError("$: must be an object")
    today = now.replace(hour=0, minute=0, second=0, microsecond=0)
    since = _moment(body.get("from"), "from") or today - DEFAULT_PERIOD
    until = _moment(body.get("to"), "to") or today
    limit = body.get("limit", 0)
    if not isinstance(limit, int) or limit < 0:
        raise ExportError("limit: must be 0 (all) or more")
    chosen = [call for call in calls if since <= call.accepted_at < until]
    return ExportJob(new_id(), chosen[:limit] if limit else chosen, now)


def _moment(value: Any, name: str) -> datetime | None:
    if value is None:
        return None
    try:
        moment = datetime.fromisoformat(value)
    except (ValueError, TypeError) as error:
        raise ExportError(f"{name}: must be a date or a time") from error
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def as_csv(calls: Sequence[Call], *, narrow: bool = False, drifted: bool = False) -> str:
    """
    One row for each leg; what the simulator does not know stays empty.

    Args:
        calls: Of one file.
        narrow: Without a column that readers need.
        drifted: Columns in another order and spelling, one more of them, behind a byte order mark.
    """
    text = io.StringIO()
    names = [name for name in COLUMNS if not (narrow and name == "DestinationEndpoint")]
    if drifted:
        text.write("\ufeff")
        names = [*reversed(names), "CarrierNote"]
    rows = csv.DictWriter(text, names, restval="", extrasaction="ignore")
    rows.writerow({name: _SPACED.sub(r" \1", name).strip() if drifted else name for name in names})
    rows.writerows(_row(call) | {"CarrierNote": 'said "no",\r\ntwice'} for call in calls)
    return text.getvalue()


def _row(call: Call) -> dict[str, Any]:
    source, destination = call.callflow.source, call.callflow.destination
    seconds = int(call.connected_for_s)
    return {
        "SessionId": call.session_id,
        "CallId": call.call_id,
        "AccountId": "simulator",
        "SubAccountId": call.subaccount_id,
        "Direction": call.direction,
        "SourceCountryCode": calling_code_of(source),
        "SourceCountry": country_of(source),
        "SourceEndpoint": source,
        "DestinationCountryCode": calling_code_of(destination),
        "DestinationCountry": country_of(destination),
        "DestinationEndpoint": destination,
        "InitiatedAt": in_seconds(call.at(call.initiated_s)),
        "ConnectedAt": "" if call.connected_s is None else in_seconds(call.at(call.connected_s)),
        "DisconnectedAt": in_seconds(call.at(call.now_s)),
        "DurationInSec": seconds,
        "Product": "Voice Messaging",
        "BillingUnit": "second",
        "BillingIncrement": 1,
        "BillableDurationInSec": seconds,
        "UnitPrice": "0.0005",
        "UnitPriceCurrency": "USD",
        "TotalPriceOfCall": f"{seconds * 0.0005:.4f}",
        "CallType": "PSTN",
        "SipStatus": _SIP_STATUS.get(leg_status(call), 200),
        "SessionStatus": call.session_status,
        "CallStatus": leg_status(call),
    }


class Exports:
    """The jobs of the account."""

    def __init__(self) -> None:
        self._jobs: dict[str, ExportJob] = {}

    def add(self, job: ExportJob) -> None:
        """Keep a job under its id; who has not fetched it by then never will."""
        self._jobs[job.job_id] = job
        while len(self._jobs) > _KEPT_JOBS:
            del self._jobs[next(iter(self._jobs))]

    def get(self, job_id: str) -> ExportJob | None:
        """Find a job; None when there is none of that id."""
        return self._jobs.get(job_id)
