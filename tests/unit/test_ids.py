"""Ids: UUIDv7 in base32hex behind a prefix, rising with time."""

import base64
from uuid import UUID

import pytest
import uuid_utils

from shared.ids import is_id, new_id


@pytest.mark.parametrize("number", [0, 1, 2**128 - 1, 2**127, 0x0199_0123_4567_7FFF_8000_0000_0000_0001])
def test_an_id_is_its_uuid_in_base32hex(monkeypatch, number):
    monkeypatch.setattr(uuid_utils, "uuid7", lambda: UUID(int=number))

    digits = base64.b32hexencode(number.to_bytes(16, "big")).decode().rstrip("=")

    assert new_id("msg") == f"msg_{digits}"


def test_ids_differ_and_are_known_as_such():
    made = [new_id("msg") for _ in range(10_000)]

    assert len(set(made)) == len(made)
    assert all(is_id("msg", one) and not is_id("key", one) for one in made)
