"""Lines to paste into another terminal."""

from __future__ import annotations

from collections.abc import Iterator

from deploy.demo.keepsake import Keepsake
from deploy.demo.surroundings import Surroundings


def lines(around: Surroundings, keepsake: Keepsake) -> Iterator[str]:
    """What to try next; numbers ending in 0001 are busy, in 0008 somebody presses 5 (GET /sim/outcomes has all)."""
    login = f"-u {keepsake.key_id}:{keepsake.secret}"
    yield "# a call"
    yield _call(around, login, '"messageId":"OTP789","customerPhone":"+6581234567","message":"Your code is 1 2 3 4"')
    yield "# what became of it"
    yield f"curl -s {login} '{around.url}/v1/messages?messageId=OTP789'"
    yield "# a number that is busy"
    yield _call(around, login, '"messageId":"OTP790","customerPhone":"+6581230001","message":"Your code is 5 6 7 8"')
    yield "# a call that ends when its person presses a key"
    pressed = '"messageId":"OTP791","customerPhone":"+6581230008","message":"Your code is 9 0 1 2","interruptible":true'
    yield _call(around, login, pressed)
    yield "# what a call would say, without a call"
    text = '"customerPhone":"+6581234567","message":"Your code is {code}.","code":"482915"'
    yield _post(around, login, "/v1/preview", text)
    yield f"# all of it explained: {around.url}/docs"
    yield f"# the first 8x8 demo's own login works, too: -u admin:{keepsake.webhook_auth_token}"
    yield "# in this folder: ringpost status, ringpost messages show OTP789, ringpost doctor"


def _call(around: Surroundings, login: str, members: str) -> str:
    return _post(around, login, "/api/make-call", members + ',"repetition":2')


def _post(around: Surroundings, login: str, path: str, members: str) -> str:
    return f"curl -s {login} {around.url}{path} -H 'Content-Type: application/json' -d '{{{members}}}'"
