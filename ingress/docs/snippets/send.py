"""Places a call: RINGPOST is the address, KEY is keyId:secret. Standard library only."""

import base64
import json
import os
import sys
import time
import urllib.error
import urllib.request
import uuid

RETRIED = (429, 503)
#: A code that comes later than that is better sent another way.
WORTH_WAITING_S = 5


def place_call(url: str, key: str, call: dict[str, object], *, tries: int = 3) -> tuple[int, dict[str, object]]:
    """The HTTP status and the answer. The same body again rings once, so that it may be repeated."""
    headers = {"Authorization": "Basic " + base64.b64encode(key.encode()).decode(), "Content-Type": "application/json"}
    for left in reversed(range(tries)):
        request = urllib.request.Request(f"{url}/api/make-call", json.dumps(call).encode(), headers)
        wait_s = 1.0
        try:
            with urllib.request.urlopen(request, timeout=10) as reply:
                return reply.status, json.load(reply)
        except urllib.error.HTTPError as error:
            told = error.headers.get("Retry-After", "")
            wait_s = float(told) if told.isdigit() else 1.0
            if error.code not in RETRIED or wait_s > WORTH_WAITING_S or not left:
                return error.code, json.load(error)
        except OSError:  # no answer: the message may be stored
            if not left:
                raise
        time.sleep(wait_s)
    raise ValueError("tries: must be 1 or more")


if __name__ == "__main__":
    status, answer = place_call(
        os.environ["RINGPOST"],
        os.environ["KEY"],
        {
            "messageId": f"login-{uuid.uuid4()}",
            "customerPhone": "+6581234567",
            "message": "Your Acme code is {code}.",
            "code": "482915",
        },
    )
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.exit(status != 200)
