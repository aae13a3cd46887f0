"""Places in a list as opaque words: readable by us alone, by nobody else's key, and only as they were given."""

from __future__ import annotations

import base64
import binascii
import hmac
from datetime import UTC, datetime, timedelta
from typing import Final

from shared.db.queries.message_list import Place
from shared.sealing import Sealer

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_SEAL_BYTES: Final = 8
_TIME_BYTES: Final = 8
#: Longer than any that was ever given.
_LONGEST: Final = 200


class Cursors:
    """Writes cursors and reads them back; the same data key in every process."""

    def __init__(self, sealer: Sealer) -> None:
        self._sealer = sealer

    def write(self, provider_id: str, place: Place) -> str:
        """The cursor of that provider for *place*, in characters that a URL takes as they are."""
        moment, id_ = place
        body = ((moment - _EPOCH) // _MICROSECOND).to_bytes(_TIME_BYTES, signed=True) + id_.encode()
        return base64.urlsafe_b64encode(self._seal(provider_id, body) + body).decode().rstrip("=")

    def read(self, provider_id: str, cursor: str) -> Place | None:
        """The place, or None when the cursor was altered, cut, or given to another provider."""
        if len(cursor) > _LONGEST:
            return None
        try:
            sealed = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        except (binascii.Error, ValueError):
            return None
        seal, body = sealed[:_SEAL_BYTES], sealed[_SEAL_BYTES:]
        if not hmac.compare_digest(seal, self._seal(provider_id, body)):
            return None
        moment = int.from_bytes(body[:_TIME_BYTES], signed=True)
        return _EPOCH + moment * _MICROSECOND, body[_TIME_BYTES:].decode()

    def _seal(self, provider_id: str, body: bytes) -> bytes:
        # Fingerprints of requests are of JSON objects: nothing sealed here can be one.
        return self._sealer.fingerprint(b"cursor " + provider_id.encode() + b" " + body)[:_SEAL_BYTES]
