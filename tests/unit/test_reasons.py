"""Reasons: a closed list in which each has a meaning."""

import pytest

from shared.reasons import MEANINGS, Reason, meaning_of
from shared.voice_api.codes import Reason as UpstreamReason


@pytest.mark.parametrize("reason", [*Reason, *UpstreamReason])
def test_every_reason_says_whose_side_it_is_in_one_sentence(reason):
    meaning = meaning_of(reason.value)

    assert meaning is not None
    assert meaning.party
    assert meaning.text[0].isupper() or meaning.text[0].isdigit()
    assert meaning.text.endswith(".")
    assert meaning.text.count(". ") == 0


def test_the_list_holds_nothing_else():
    assert set(MEANINGS) == {*Reason, *UpstreamReason}


def test_the_two_lists_share_no_word():
    assert not {reason.value for reason in Reason} & {reason.value for reason in UpstreamReason}


def test_a_message_that_went_well_has_no_meaning():
    assert meaning_of(None) is None


@pytest.mark.parametrize("reason", ["opted_out", "canceled_by_sender", "no_summary", "never_confirmed", "lease_lapsed"])
def test_what_must_not_be_sent_again_unasked_is_not_retryable(reason):
    assert not MEANINGS[reason].retryable
