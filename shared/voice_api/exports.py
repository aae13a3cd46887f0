"""8x8's log export over HTTP, on a host of its own: ask for a job, look how far it is, read its files."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import quote

from shared.errors import UpstreamError, VoiceApiError
from shared.http import HttpEdge, Limits, Reply, Template, prepare
from shared.voice_api.codes import retry_after_s

_CONNECT_S: Final = 5.0
_SILENCE_S: Final = 20.0
_ANSWER: Final = Limits(_CONNECT_S, _SILENCE_S, _SILENCE_S, max_body=256 * 1024)
_MAX_FILES: Final = 100
_MAX_BYTES: Final = 512 * 1024 * 1024  # of all files of a job; 15 minutes of 1,000 calls a second are less
_TIME: Final = "%Y-%m-%dT%H:%M:%SZ"


@dataclass(frozen=True, slots=True)
class ExportJob:
    """How far a job is: ``files`` is None while it is being gathered, and empty where there were no calls."""

    files: tuple[str, ...] | None


class ExportGone(VoiceApiError):
    """8x8 knows no job of that id, any more: ask for a new one."""


class ExportFailed(VoiceApiError):
    """The job came to its end without a file: ask for a new one, later."""


@dataclass(kw_only=True)
class LogExports:
    """The call log of one subaccount. Every failure is a ``VoiceApiError``, whose text quotes no URL."""

    url: str
    subaccount_id: str
    api_key: str = field(repr=False)
    edge: HttpEdge = field(repr=False)
    timeout_s: float = 120.0  # of all files of a job together

    def start(self, since: datetime, until: datetime) -> str:
        """Ask for the log of the calls between two aware times; the id of the job that will gather it."""
        times = {"from": since.astimezone(UTC).strftime(_TIME), "to": until.astimezone(UTC).strftime(_TIME)}
        wanted = json.dumps({**times, "limit": 0}).encode()  # 0: all of them
        job_id = _parsed(self._send(self._template("POST", "messages/exports"), wanted)).get("jobId")
        if not isinstance(job_id, str) or not 0 < len(job_id) <= 200 or not job_id.isprintable():
            raise VoiceApiError("8x8 did not name the export job")
        return job_id

    def look(self, job_id: str) -> ExportJob:
        """
        How far the job is.

        Raises:
            ExportGone: There is none of that id.
            ExportFailed: It failed, was cancelled, or ended in a way that nobody documented.
            VoiceApiError: No answer, or none that helps: look again.
        """
        try:
            reply = self._send(self._template("GET", f"messages/exports/{quote(job_id, safe='')}"))
        except VoiceApiError as error:
            if error.http_status == 404:
                raise ExportGone("8x8 knows no such export job", 404) from None
            raise
        fields = _parsed(reply)
        status = str(fields.get("status", "")).strip().lower()
        if status in ("queued", "running"):
            return ExportJob(None)
        if status == "empty":
            return ExportJob(())
        if status != "succeeded":
            raise ExportFailed(f"the export ended as {status[:20] if status.isalpha() else 'nothing documented'}")
        urls = fields.get("data")
        if not isinstance(urls, list) or not 0 < len(urls) <= _MAX_FILES:
            raise ExportFailed("the export succeeded without files, or with too many")
        return ExportJob(tuple(str(url) for url in urls))

    def read(self, job: ExportJob, take: Callable[[bytes], None], end_file: Callable[[], None]) -> None:
        """
        Every file of a finished job, piece by piece, within the time and the size allowed.

        Raises:
            VoiceApiError: One of them did not come as a whole: what was taken is worth nothing.
        """
        stop_at = time.monotonic() + self.timeout_s
        room = _MAX_BYTES
        for url in job.files or ():
            length = _Counted(take)
            limits = Limits(_CONNECT_S, _SILENCE_S, stop_at - time.monotonic(), max_body=room)
            reply = self._exchange(self._file(url), limits=limits, sink=length)
            if reply.status != 200 or not reply.is_whole:
                raise VoiceApiError("the export could not be downloaded as a whole", reply.status)
            room -= length.bytes
            end_file()

    def _file(self, url: str) -> Template:
        """The key goes along only to the host that the operator configured, as the file may lie anywhere."""
        own = self._template("GET", "")
        try:
            template = prepare("GET", url)
        except ValueError:
            raise VoiceApiError("the export has a file without a usable address") from None
        if template.origin == own.origin:
            return prepare("GET", url, {"Authorization": own.headers["authorization"]})
        if template.origin[0] != "https" and own.origin[0] == "https":
            raise VoiceApiError("the export has a file that would come unencrypted")
        return template

    def _template(self, method: str, path: str) -> Template:
        return prepare(
            method,
            f"{self.url.rstrip('/')}/api/v1/subaccounts/{quote(self.subaccount_id, safe='')}/{path}",
            {
                "Authorization": f"Bearer {self.api_key}",
                "Accept": "application/json",
                "Content-Type": "application/json",
            },
        )

    def _send(self, template: Template, body: bytes = b"") -> Reply:
        reply = self._exchange(template, body)
        if not 200 <= reply.status < 300:
            asked_s = retry_after_s(reply.headers.get("Retry-After")) or 0.0
            raise VoiceApiError("8x8 refused the log export", reply.status, retry_after_s=asked_s)
        return reply

    def _exchange(
        self,
        template: Template,
        body: bytes = b"",
        limits: Limits = _ANSWER,
        sink: Callable[[bytes], None] | None = None,
    ) -> Reply:
        try:
            return self.edge.send(template, body, limits=limits, sink=sink)
        except UpstreamError as error:
            raise VoiceApiError(f"8x8 did not answer: {error.reason}") from None


class _Counted:
    """Passes on what comes, and counts it."""

    def __init__(self, take: Callable[[bytes], None]) -> None:
        self.bytes = 0
        self._take = take

    def __call__(self, chunk: bytes) -> None:
        self.bytes += len(chunk)
        self._take(chunk)


def _parsed(reply: Reply) -> dict[str, Any]:
    try:
        parsed = json.loads(reply.body)
    except (ValueError, RecursionError):
        parsed = None
    if not isinstance(parsed, dict):
        raise VoiceApiError("8x8's answer about the log export is not JSON", reply.status)
    return parsed
