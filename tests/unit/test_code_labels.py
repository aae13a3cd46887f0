"""8x8's codes are few labels, whatever it answers."""

import pytest

from shared.voice_api.code_labels import code_label
from shared.voice_api.codes import ERROR_RULES, REPLY_RULES, STATUS_RULES


@pytest.mark.parametrize("code", sorted({0, 1, *REPLY_RULES, *STATUS_RULES, *ERROR_RULES}))
def test_a_listed_code_is_told_as_it_is(code):
    assert code_label(code) == str(code)


@pytest.mark.parametrize(
    ("code", "label"),
    [(None, "none"), (503, "5xx"), (418, "4xx"), (200, "2xx"), (-77777, "other"), (99, "other"), (600, "other")],
)
def test_any_other_code_is_one_of_few_words(code, label):
    assert code_label(code) == label
