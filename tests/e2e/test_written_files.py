"""After all that went before: what was written on disk tells nobody what was said to whom."""

import pytest

MARKER = "Zarathustra spoke in purple riddles"

pytestmark = pytest.mark.xdist_group("deaths")


def test_no_file_holds_a_text_or_a_number(stage):
    number = stage.new_number()
    stage.submit("secret", number, message=f"{MARKER} {{code}}", code="739156", type="alert", ttlSeconds=15)
    stage.callback("secret")
    spoken = stage.simulator.ledger.of(number)[0].body
    secrets = [MARKER.encode(), b"7, 3, 9, 1, 5, 6", b"739156", number[1:].encode()]

    holding = [(path, secret) for path in stage.files() for secret in secrets if secret in path.read_bytes()]

    assert MARKER.encode() in spoken
    assert holding == []
