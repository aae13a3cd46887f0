"""One small tree of errors; each class says what its catcher may do next."""


class RingpostError(Exception):
    """Anything Ringpost raises on purpose."""


class UpstreamError(RingpostError):
    """
    The way to another system, or that system itself, failed.

    ``reason`` is a short snake_case word for logs and attempt rows. It never holds a URL, a header or a body.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class NotSent(UpstreamError):
    """No request byte left: nothing can have happened over there, so sending again is safe."""


class ForbiddenAddress(NotSent):
    """The host resolves to where no callback may go: nothing left, and the next try will end alike."""


class NoReply(UpstreamError):
    """
    The request left but no whole answer came: it may have had its effect. Repeat only what is idempotent.

    ``status`` is the HTTP status if at least the head of an answer was read, else None.
    """

    def __init__(self, reason: str, status: int | None = None) -> None:
        super().__init__(reason)
        self.status = status


class VoiceApiError(UpstreamError):
    """
    8x8 refused or garbled a configuration call: show it to the operator; unchanged it will fail again.

    ``http_status`` is None when no answer came at all; ``retry_after_s`` what 8x8 asked to wait for.
    """

    def __init__(self, reason: str, http_status: int | None = None, *, retry_after_s: float = 0.0) -> None:
        super().__init__(reason if http_status is None else f"{reason} (HTTP {http_status})")
        self.http_status = http_status
        self.retry_after_s = retry_after_s
