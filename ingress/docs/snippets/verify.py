"""Tells whether a callback is genuine. Standard library only."""

import base64
import hmac
import os
import sys
import time

TOLERANCE_S = 300


def is_genuine(secret: str, id_: str, timestamp: str, signatures: str, body: bytes) -> bool:
    """Whether one of the signatures is that of these very bytes; *secret* is ``whsec_...``, the others are headers."""
    if not timestamp.isdecimal() or abs(time.time() - int(timestamp)) > TOLERANCE_S:
        return False
    key = base64.b64decode(secret.removeprefix("whsec_"))
    digest = hmac.digest(key, f"{id_}.{timestamp}.".encode() + body, "sha256")
    expected = b"v1," + base64.b64encode(digest)
    # Two while a secret is being rotated.
    return any(hmac.compare_digest(expected, one.encode()) for one in signatures.split())


if __name__ == "__main__":
    secret, id_, timestamp, signatures = (
        os.environ[f"WEBHOOK_{name}"] for name in ("SECRET", "ID", "TIMESTAMP", "SIGNATURE")
    )
    sys.exit(0 if is_genuine(secret, id_, timestamp, signatures, sys.stdin.buffer.read()) else 1)
