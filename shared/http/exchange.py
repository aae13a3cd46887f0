"""One request under way: whether a byte of it left, and when all must be over."""

import time


class Exchange:
    """
    The request one thread is sending: whether its first byte left, and how long it may still take.

    Every wait on the socket asks here first and is cut to what is left of the whole, so a peer that drips its
    answer, or its handshake, byte by byte gains nothing.
    """

    __slots__ = ("connect_s", "deadline", "is_sent", "read_s")

    def __init__(self) -> None:
        self.begin(connect_s=0.0, read_s=0.0, total_s=0.0)

    def begin(self, *, connect_s: float, read_s: float, total_s: float) -> None:
        """Start anew: nothing sent yet, and the clock of the whole runs. All in seconds."""
        self.is_sent = False
        self.connect_s = connect_s
        self.read_s = read_s
        self.deadline = time.monotonic() + total_s

    def patience(self, silence_s: float) -> float:
        """Seconds to wait for the peer's next sign of life; TimeoutError once the whole took too long."""
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        return min(silence_s, left)
