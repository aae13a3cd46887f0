"""Sealed bytes: readable by us, for the row they were made for, and by nobody else."""

import base64
import os

import pytest

from shared.sealing import Sealer, Unopened, Unsealable, hash_alike, next_data_key

KEY, OTHER_KEY = (base64.b64encode(bytes([n]) * 32).decode() for n in (1, 2))
PLAIN = b"Your code is 4711."


@pytest.fixture
def sealer():
    return Sealer(KEY)


@pytest.mark.parametrize("plain", [b"", b"\0", PLAIN, b"x" * 100_000])
def test_what_was_sealed_is_read_again(sealer, plain):
    assert Sealer(KEY).unseal(sealer.seal(plain, row="msg_1"), row="msg_1") == plain


def test_the_same_text_is_never_sealed_alike(sealer):
    assert sealer.seal(PLAIN, row="msg_1") != sealer.seal(PLAIN, row="msg_1")


def test_sealed_bytes_show_nothing_of_the_text(sealer):
    assert b"code" not in sealer.seal(PLAIN, row="msg_1")


@pytest.mark.parametrize("place", [0, 1, 12, 13, 20, -1])
def test_a_changed_byte_is_noticed(sealer, place):
    sealed = bytearray(sealer.seal(PLAIN, row="msg_1"))
    sealed[place] ^= 1

    with pytest.raises(Unsealable):
        sealer.unseal(bytes(sealed), row="msg_1")


@pytest.mark.parametrize("length", [0, 1, 5, 13, 20])
def test_cut_bytes_are_noticed(sealer, length):
    with pytest.raises(Unsealable):
        sealer.unseal(sealer.seal(PLAIN, row="msg_1")[:length], row="msg_1")


def test_bytes_moved_to_another_row_are_noticed(sealer):
    with pytest.raises(Unsealable):
        sealer.unseal(sealer.seal(PLAIN, row="msg_1"), row="msg_2")


def test_another_key_reads_nothing(sealer):
    with pytest.raises(Unsealable):
        Sealer(OTHER_KEY).unseal(sealer.seal(PLAIN, row="msg_1"), row="msg_1")


@pytest.mark.parametrize("name", ["destination_key", "fingerprint"])
def test_hashes_are_equal_for_equal_values_under_one_key_only(sealer, name):
    value = "+6581234567" if name == "destination_key" else b"body"
    other = "+6581234568" if name == "destination_key" else b"other"

    ours, theirs = getattr(sealer, name), getattr(Sealer(OTHER_KEY), name)

    assert ours(value) == ours(value)
    assert len({ours(value), ours(other), theirs(value)}) == 3
    assert len(ours(value)) == 16


def test_a_hash_stays_what_it_was_when_rows_were_stored_by_it(sealer):
    assert sealer.destination_key("+6581234567").hex() == "5f7dd2ce30746cd005531b7099722901"
    assert sealer.fingerprint(b"body").hex() == "a41ffb8d96cf01eafa5e8a796bc1c374"


def test_hashes_for_two_purposes_differ(sealer):
    assert sealer.destination_key("+6581234567") != sealer.fingerprint(b"+6581234567")


def test_a_sealer_shows_no_key(sealer):
    assert repr(sealer) == "Sealer(…)"


def test_a_process_and_its_fork_never_share_a_nonce(sealer):
    sealer.seal(PLAIN, row="msg_1")  # more are drawn than this one needs
    reader, writer = os.pipe()
    if (child := os.fork()) == 0:
        os.write(writer, sealer.seal(PLAIN, row="msg_1"))
        os._exit(0)

    os.waitpid(child, 0)
    theirs = os.read(reader, 1000)

    assert theirs != sealer.seal(PLAIN, row="msg_1")
    assert Sealer(KEY).unseal(theirs, row="msg_1") == PLAIN
    os.close(reader)
    os.close(writer)


# a key that follows another


NEXT = next_data_key(KEY)


def test_the_next_key_reads_nothing_of_the_one_before_unless_it_is_given_along(sealer):
    sealed = sealer.seal(PLAIN, row="msg_1")

    assert Sealer(NEXT, KEY).unseal(sealed, row="msg_1") == PLAIN
    with pytest.raises(Unopened):
        Sealer(NEXT).unseal(sealed, row="msg_1")


def test_what_the_next_key_seals_names_it_and_is_read_by_whoever_holds_both():
    sealed = Sealer(NEXT, KEY).seal(PLAIN, row="msg_1")

    assert sealed.startswith(Sealer(NEXT).header)
    assert Sealer(NEXT).header != Sealer(next_data_key(NEXT)).header
    assert Sealer(KEY, NEXT).unseal(sealed, row="msg_1") == PLAIN
    with pytest.raises(Unopened):
        Sealer(KEY).unseal(sealed, row="msg_1")


def test_keys_that_follow_each_other_hash_alike_for_ever(sealer):
    after = NEXT
    for _ in range(3):
        after = next_data_key(after)

    assert Sealer(after).destination_key("+6581234567") == sealer.destination_key("+6581234567")
    assert Sealer(after).fingerprint(b"body") == sealer.fingerprint(b"body")
    assert (hash_alike(KEY, after), hash_alike(OTHER_KEY, after)) == (True, False)


@pytest.mark.parametrize("place", [0, 1, 4, 5, 16, 17, 30, -1])
def test_a_changed_byte_under_a_named_key_is_noticed(place):
    sealed = bytearray(Sealer(NEXT, KEY).seal(PLAIN, row="msg_1"))
    sealed[place] ^= 1

    with pytest.raises(Unsealable):
        Sealer(NEXT, KEY).unseal(bytes(sealed), row="msg_1")
