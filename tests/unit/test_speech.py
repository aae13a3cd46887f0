import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from shared.speech import (
    DEFAULT_VOICES,
    heard,
    placeholders,
    repeats_played,
    sanitise,
    seconds_per_play,
    spoken_text,
    voice_for,
)

MARKUP, EMOJI, CONTROLS = (
    "Markup and angle brackets were removed.",
    "Emoji and pictographs were removed.",
    "Control characters were removed.",
)


# --- sanitise


@pytest.mark.parametrize(
    ("text", "clean", "warnings"),
    [
        ("Your code is {code}.", "Your code is {code}.", []),
        ("  two\n\nlines\tand   spaces ", "two lines and spaces", []),
        ("non\u00a0breaking\u2028line", "non breaking line", []),
        ("bell\x07 and null\x00", "bell and null", [CONTROLS]),
        ("zero\u200bwidth, soft\u00adhyphen, \ufeffmark", "zerowidth, softhyphen, mark", [CONTROLS]),
        ("left\u202eright", "leftright", [CONTROLS]),
        ("half \ud83d pair", "half pair", [CONTROLS]),
        ("<speak>Hello<break/>there</speak>", "Hello there", [MARKUP]),
        ("<!-- aside -->Hello", "Hello", [MARKUP]),
        ("5 < 6 and 7 > 3", "5 6 and 7 3", [MARKUP]),
        ("code <{code}>", "code {code}", [MARKUP]),
        ("<<b>>x", "x", [MARKUP]),
        ("Hi \U0001f600 there \U0001f44d\U0001f3fd!", "Hi there !", [EMOJI]),
        (
            "family \U0001f468\u200d\U0001f469\u200d\U0001f467 flag \U0001f1f8\U0001f1ec",
            "family flag",
            [EMOJI],
        ),
        ("star \u2b50 heart \u2764\ufe0f key 1\ufe0f\u20e3", "star heart key 1", [EMOJI]),
        ("<b>\U0001f600\x07</b>", "", [MARKUP, EMOJI, CONTROLS]),
        ("cafe\u0301", "caf\u00e9", []),
        ("\u00a9 20 \u00b0C, 5 \u20ac, \u2116 3", "\u00a9 20 \u00b0C, 5 \u20ac, \u2116 3", []),
        (
            "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",
            "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",
            [],
        ),
        ("\u60a8\u7684\u9a8c\u8bc1\u7801\u662f\u3002", "\u60a8\u7684\u9a8c\u8bc1\u7801\u662f\u3002", []),
        ("", "", []),
    ],
)
def test_what_a_voice_cannot_speak_is_taken_out_with_a_warning(text, clean, warnings):
    assert sanitise(text) == (clean, warnings)


TEXTS = st.text(
    st.characters() | st.sampled_from("<>/b!\u200d\ufe0f\u0338\u0301\u0300\U0001f600\u2028 \x07"), max_size=30
)


@settings(max_examples=200, deadline=None)
@example("<\x00\u0338")
@example("e\x00\u0301")
@example("\u1100\U0001f600\u1161")
@given(TEXTS)
def test_cleaning_a_clean_text_changes_nothing_and_warns_of_nothing(text):
    clean, _ = sanitise(text)

    assert sanitise(clean) == (clean, [])
    assert not set("<>\n\t\x00") & set(clean)
    clean.encode()


# --- codes


@pytest.mark.parametrize(
    ("message", "names"),
    [
        ("no place", ()),
        ("{code}", ("code",)),
        ("{code}, again {code}", ("code", "code")),
        ("{name}: {code}", ("name", "code")),
        ("{ code } {} {1} {{", ()),
    ],
)
def test_placeholders_are_named(message, names):
    assert placeholders(message) == names


def test_the_code_is_spoken_wherever_its_place_is():
    assert spoken_text("Code {code}. Again: {code}.", "407", "en") == "Code 4, 0, 7. Again: 4, 0, 7."


def test_a_message_without_a_code_is_spoken_as_it_is():
    assert spoken_text("Code 4 0 7, dear {name}.", None, "en") == "Code 4 0 7, dear {name}."


@pytest.mark.parametrize(
    ("message", "code", "complaint"),
    [
        ("Your code is {code}", None, "^code: the message has a place"),
        ("Your code is", "407", r"^message: must contain \{code\}"),
        ("{code}" * 160, "407192407192", "^message: more than 3000 characters"),
        ("x" * 3001, None, "^message: more than 3000 characters"),
    ],
)
def test_a_message_and_code_that_do_not_fit_are_refused_by_name(message, code, complaint):
    with pytest.raises(ValueError, match=complaint) as refusal:
        spoken_text(message, code, "en")

    assert "407" not in str(refusal.value)


# --- time


@pytest.mark.parametrize(
    ("text", "least", "most"),
    [
        ("", 0.1, 1),
        ("Your Acme code is 4, 0, 7, 1, 9, 2.", 5, 8),
        ("Hello.", 1, 2),
        ("\u60a8\u7684\u9a8c\u8bc1\u7801\u662f4\uff0c0\uff0c7\uff0c1\u3002", 4, 6),
        ("a" * 150, 9, 12),
    ],
)
def test_the_length_of_a_play_is_estimated(text, least, most):
    assert least <= seconds_per_play(text, 1) <= most


@pytest.mark.parametrize("language", ["es", "fr", "de", "pt", "it", "id", "ms", "th", "vi", "hi", "ta", "ar", "tlh"])
def test_a_language_with_longer_syllables_takes_no_shorter_than_english(language):
    assert seconds_per_play("a" * 150, 1, language) >= seconds_per_play("a" * 150, 1, "en")


def test_kanji_take_longer_than_hanzi():
    text = "\u78ba\u8a8d\u756a\u53f7"

    assert seconds_per_play(text, 1, "ja-JP") > seconds_per_play(text, 1, "zh-CN-XiaoxiaoNeural")


def test_the_pause_between_groups_is_counted_as_a_long_one():
    assert seconds_per_play("4; 0", 1) - seconds_per_play("4, 0", 1) == pytest.approx(0.25)


def test_twice_the_speed_takes_half_the_time_after_the_lead_in():
    assert seconds_per_play("a" * 150, 2) - 0.5 == (seconds_per_play("a" * 150, 1) - 0.5) / 2


@pytest.mark.parametrize(
    ("connected_s", "answered", "expected"),
    [
        (None, False, "none"),
        (0, False, "none"),
        (30, False, "none"),
        (None, True, "unknown"),
        (0, True, "partial"),
        (9.9, True, "partial"),
        (10, True, "full"),
        (300, True, "full"),
    ],
)
def test_a_message_counts_as_heard_by_its_connected_time(connected_s, answered, expected):
    assert heard(connected_s, 10, 2, answered=answered) == expected


@pytest.mark.parametrize(("connected_s", "repeats"), [(0, 0), (9, 0), (10, 1), (19, 1), (20, 2), (90, 2)])
def test_whole_plays_are_counted_up_to_those_asked_for(connected_s, repeats):
    assert repeats_played(connected_s, 10, 2) == repeats


# --- voices


@pytest.mark.parametrize(("language", "voice"), DEFAULT_VOICES.items())
def test_every_language_of_the_table_has_its_voice(language, voice):
    assert voice_for(language, "xx-XX-Nobody") == voice
    assert voice.lower().startswith(language.lower() + "-")


@pytest.mark.parametrize(
    ("language", "voice"),
    [
        (None, "en-US-ZiraRUS"),
        ("en", "en-US-ZiraRUS"),
        ("en-US", "en-US-ZiraRUS"),
        ("EN_us", "en-US-ZiraRUS"),
        ("en-GB", "en-GB-Emma"),
        ("en-AU", "en-US-ZiraRUS"),
        ("zh-Hans", "zh-CN-XiaoxiaoNeural"),
    ],
)
def test_the_operators_voice_speaks_its_own_language_and_the_table_the_others(language, voice):
    assert voice_for(language, "en-US-ZiraRUS") == voice


@pytest.mark.parametrize("language", ["tlh", "", "e", "english"])
def test_a_language_without_a_voice_is_refused(language):
    with pytest.raises(ValueError, match=r"^language: "):
        voice_for(language, "en-US-ZiraRUS")
