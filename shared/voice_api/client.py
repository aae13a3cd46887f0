"""8x8's Voice API over HTTP: one POST per callflow, and the configuration calls an operator needs."""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import quote

import structlog
import tenacity

from shared import failpoints
from shared.errors import NoReply, NotSent, UpstreamError, VoiceApiError
from shared.http import HttpEdge, Limits, Reply, Template, prepare
from shared.voice_api.codes import Disposition, Reason, Verdict, judge

log = structlog.get_logger()

_TRIES: Final = 3  # the first one included
_TRIES_WITHIN_S: Final = 3.0  # no try begins later than this after the first one began
_LONGEST_WAIT_S: Final = 2.0  # longer waits are the message row's business, not a sleeping thread's
_ADMIN_MAX_BODY: Final = 4 * 1024 * 1024  # bytes; a list of voices runs to some hundred entries

_JITTER: Final = tenacity.wait_random_exponential(multiplier=0.1, max=1)  # s, full jitter


@dataclass(frozen=True, slots=True)
class SpeechProfile:
    """A voice that ``say`` accepts as ``voiceProfile``."""

    code: str
    locale: str
    gender: str


@dataclass(frozen=True, slots=True)
class Webhook:
    """One registered webhook. 8x8 never tells its secret, only whether there is one."""

    type: str
    url: str
    is_enabled: bool
    has_auth_header: bool


@dataclass(slots=True)
class _Callflow:
    """One callflow on its way: what every try needs, and what the last one brought."""

    body: bytes = field(repr=False)
    may_still_send: Callable[[], bool]
    ids: Mapping[str, str]
    started_at: float
    verdict: Verdict | None = None


@dataclass(kw_only=True)
class VoiceApi:
    """
    One subaccount of 8x8's Voice API. Safe for any number of threads.

    Timeouts are in seconds; ``total_timeout`` is the wall clock of one whole exchange.
    """

    base_url: str
    subaccount_id: str
    api_key: str = field(repr=False)
    edge: HttpEdge = field(repr=False)
    connect_timeout: float = 2.0
    total_timeout: float = 8.0
    sleep: Callable[[float], None] = field(default=time.sleep, repr=False)
    #: Is told what became of each callflow, and after how many seconds.
    answered: Callable[[Verdict, float], None] = field(default=lambda *_: None, repr=False)

    def __post_init__(self) -> None:
        if not (self.api_key.isascii() and self.api_key.isprintable() and self.api_key.strip()):
            raise ValueError("the API key must be printable ASCII")
        self._limits = Limits(self.connect_timeout, self.total_timeout, self.total_timeout)
        self._callflows = self._template("POST", "callflows")
        self._retrying = tenacity.Retrying(
            retry=tenacity.retry_if_result(_is_worth_another_try),
            stop=tenacity.stop_after_attempt(_TRIES) | _StopInTime(),
            wait=_wait_s,
            before_sleep=_log_retry,
            sleep=self.sleep,
            retry_error_callback=lambda state: state.outcome.result() if state.outcome else None,
        )

    def send_callflow(
        self, body: bytes, may_still_send: Callable[[], bool], ids: Mapping[str, str] | None = None
    ) -> Verdict:
        """
        Ask 8x8 for one call, at most three tries, of which at most one can have reached a phone.

        Tries again only what surely created nothing. *may_still_send* is asked right before every try:
        whether the lease is still ours and the deadline ahead. *ids* name the attempt in logs. Raises nothing: every
        failure is a verdict.
        """
        callflow = _Callflow(body, may_still_send, ids or {}, time.monotonic())
        callflow.verdict = verdict = self._try(callflow)
        if _is_worth_another_try(verdict):
            verdict = self._retrying(self._next_try, callflow)
        self.answered(verdict, time.monotonic() - callflow.started_at)
        return verdict

    def speech_profiles(self) -> list[SpeechProfile]:
        """The voices this subaccount may use."""
        reply = self._call(self._template("GET", "speech-profiles"))
        return [
            SpeechProfile(
                code=str(profile.get("speechProfileCode", "")),
                locale=str(profile.get("localeCode", "")),
                gender=str(profile.get("gender", "")),
            )
            for profile in _entries(reply, "speechProfiles")
        ]

    def numbers(self) -> list[dict[str, Any]]:
        """The subaccount's virtual numbers, as 8x8 describes them: their shape is not documented."""
        reply = self._call(self._template("GET", "numbers"))
        named = (name for name, value in reply.items() if isinstance(value, list))
        return _entries(reply, next(named, ""))

    def webhooks(self) -> list[Webhook]:
        """The webhooks registered for this subaccount, at most one per type."""
        reply = self._call(self._template("GET", "webhooks"))
        return [
            Webhook(
                type=str(entry.get("type", "")),
                url=str(entry.get("url", "")),
                is_enabled=bool(entry.get("enabled", True)),
                has_auth_header=bool(entry.get("httpAuthHeaderAvailable", False)),
            )
            for entry in _entries(reply, "webhooks")
        ]

    def register_webhook(self, type_: str, url: str, auth_header: str) -> None:
        """
        Point a webhook type at *url*, with *auth_header* as its ``Authorization``.

        An existing registration is removed first, since 8x8 does not say what a second one does: events in
        the moment between are lost.
        """
        if any(webhook.type == type_ for webhook in self.webhooks()):
            self.remove_webhook(type_)
        wanted = {"type": type_, "url": url, "httpAuthHeader": auth_header, "enabled": True}
        self._call(self._template("POST", "webhooks"), json.dumps(wanted).encode())

    def remove_webhook(self, type_: str) -> None:
        """Remove the registration of a webhook type."""
        self._call(self._template("DELETE", f"webhooks/{quote(type_, safe='')}"))

    def _template(self, method: str, path: str) -> Template:
        subaccount = quote(self.subaccount_id, safe="")
        return prepare(
            method,
            f"{self.base_url.rstrip('/')}/api/v1/subaccounts/{subaccount}/{path}",
            {
                "Authorization": f"Bearer {self.api_key}",
                "Accept": "application/json",
                "Content-Type": "application/json",
            },
        )

    def _try(self, callflow: _Callflow) -> Verdict:
        if not callflow.may_still_send():
            return Verdict(Disposition.NOT_SENT, Reason.LEASE_LOST)
        failpoints.hit("dial.at_post")
        try:
            reply = self.edge.send(self._callflows, callflow.body, limits=self._limits)
        except NotSent as error:
            return Verdict(Disposition.NOT_SENT, Reason.UNREACHABLE, status_message=error.reason)
        except NoReply as error:
            return Verdict(Disposition.UNKNOWN, Reason.NO_REPLY, error.status, error.reason)
        return judge(reply.status, reply.body, reply.headers.get("Retry-After"))

    def _next_try(self, callflow: _Callflow) -> Verdict:
        """What tenacity calls. Its first attempt is the verdict there is: only then does it wait."""
        verdict, callflow.verdict = callflow.verdict, None
        return verdict or self._try(callflow)

    def _send(self, template: Template, body: bytes, limits: Limits) -> Reply:
        try:
            return self.edge.send(template, body, limits=limits)
        except UpstreamError as error:
            raise VoiceApiError(f"8x8 did not answer: {error.reason}") from None

    def _call(self, template: Template, body: bytes = b"") -> dict[str, Any]:
        """A configuration call, where success is 2xx with ``statusCode`` 0 or none."""
        limits = Limits(self.connect_timeout, self.total_timeout, self.total_timeout, _ADMIN_MAX_BODY)
        reply = self._send(template, body, limits)
        try:
            parsed = json.loads(reply.body)
        except (ValueError, RecursionError):
            parsed = None
        if isinstance(parsed, list):
            parsed = {"entries": parsed}
        fields: dict[str, Any] = parsed if isinstance(parsed, dict) else {}
        if not 200 <= reply.status < 300 or fields.get("statusCode", 0) not in (0, "0"):
            said = str(fields.get("statusMessage") or fields.get("message") or "no explanation")
            raise VoiceApiError(f"8x8 said: {said[:200]}", reply.status)
        if parsed is None:
            raise VoiceApiError("8x8's answer is not JSON", reply.status)
        return fields


def _entries(reply: dict[str, Any], name: str) -> list[dict[str, Any]]:
    entries = reply.get(name)
    return [entry for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []


def _is_worth_another_try(verdict: Verdict) -> bool:
    """Nothing was created for sure, and the wait is short enough to sit out."""
    if verdict.disposition is Disposition.NOT_SENT:
        return verdict.reason is not Reason.LEASE_LOST
    return verdict.disposition is Disposition.RETRY and (verdict.retry_after_s or 0.0) <= _LONGEST_WAIT_S


def _wait_s(state: tenacity.RetryCallState) -> float:
    verdict: Verdict | None = state.outcome.result() if state.outcome else None
    asked = verdict.retry_after_s if verdict else None
    return max(_JITTER(state), asked or 0.0)


class _StopInTime(tenacity.stop.stop_base):
    """Counts from the first try, which tenacity did not see."""

    def __call__(self, retry_state: tenacity.RetryCallState) -> bool:
        callflow: _Callflow = retry_state.args[0]
        return time.monotonic() - callflow.started_at + retry_state.upcoming_sleep > _TRIES_WITHIN_S


def _log_retry(state: tenacity.RetryCallState) -> None:
    verdict: Verdict | None = state.outcome.result() if state.outcome else None
    callflow: _Callflow = state.args[0]
    log.warning(
        "callflow_tried_again",
        **callflow.ids,
        tried=state.attempt_number,
        disposition=verdict.disposition if verdict else None,
        reason=verdict.reason if verdict else None,
        wait_s=round(state.upcoming_sleep, 3),
    )
