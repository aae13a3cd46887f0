"""How codes are spoken, language by language."""

import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from shared.languages import LANGUAGES, language_of
from shared.speech import MAX_SPOKEN, sanitise, spoken_text
from shared.spelling import CODE, spell

PAUSES = ",;،؛、。\uff0c\uff1b"


@pytest.mark.parametrize(
    ("language", "message", "spoken"),
    [
        ("en-US", "Your code is {code} for Acme.", "Your code is 0, 4, 7; 1, 9, 2, for Acme."),
        ("es-MX", "Su código es {code} y vence pronto.", "Su código es 0, 4, 7; 1, 9, 2, y vence pronto."),
        ("fr-FR", "Votre code : {code}. Merci.", "Votre code : 0, 4, 7; 1, 9, 2. Merci."),
        ("de-DE", "Ihr Code lautet {code}. Er gilt kurz.", "Ihr Code lautet 0, 4, 7; 1, 9, 2; Er gilt kurz."),
        ("pt-BR", "O código {code} é seu.", "O código 0, 4, 7; 1, 9, 2, é seu."),
        ("it-IT", "Il codice è {code}, grazie.", "Il codice è 0, 4, 7; 1, 9, 2, grazie."),
        ("id-ID", "Kode Anda {code} untuk Acme.", "Kode Anda 0, 4, 7; 1, 9, 2, untuk Acme."),
        ("ms-MY", "Kod anda {code} untuk Acme.", "Kod anda 0, 4, 7; 1, 9, 2, untuk Acme."),
        ("th-TH", "รหัสของคุณคือ{code}ค่ะ", "รหัสของคุณคือ0, 4, 7; 1, 9, 2, ค่ะ"),
        ("vi-VN", "Mã {code} của bạn.", "Mã 0, 4, 7; 1, 9, 2, của bạn."),
        ("zh-CN", "{code}是您的验证码。", "0\uff0c4\uff0c7\uff1b1\uff0c9\uff0c2\uff0c是您的验证码。"),
        ("ja-JP", "コードは{code}です。", "コードは0、4、7。1、9、2、です。"),
        ("ko-KR", "인증번호는 {code}입니다.", "인증번호는 0, 4, 7; 1, 9, 2, 입니다."),
        ("hi-IN", "आपका कोड {code} है।", "आपका कोड 0, 4, 7; 1, 9, 2, है।"),
        ("ta-IN", "உங்கள் குறியீடு {code} ஆகும்.", "உங்கள் குறியீடு 0, 4, 7; 1, 9, 2, ஆகும்."),
        ("ar-SA", "رمزك {code} صالح.", "رمزك 0، 4، 7؛ 1، 9، 2، صالح."),
        ("el-GR", "\u039f κωδικός {code} ισχύει.", "\u039f κωδικός 0, 4, 7, 1, 9, 2, ισχύει."),
        ("sw-KE", "Nambari {code} ni yako.", "Nambari 0, 4, 7; 1, 9, 2, ni yako."),
    ],
)
def test_a_code_is_spoken_as_its_language_needs_it(language, message, spoken):
    assert spoken_text(message, "047192", language) == spoken


@pytest.mark.parametrize(
    ("code", "language", "spelled"),
    [
        ("407", "en", "4, 0, 7"),
        ("407", "de-DE", "4, 0, 7"),
        ("407", "DE", "4, 0, 7"),
        ("A7b", "en", "A, 7, B"),
        ("407", "zh_CN", "4\uff0c0\uff0c7"),
        ("407", "ja-JP", "4\u30010\u30017"),
        ("407", "ar-EG", "4\u060c 0\u060c 7"),
        ("407", "", "4, 0, 7"),
        ("4071", "en-US-BenjaminRUS", "4, 0, 7, 1"),
        ("40719", "en", "4, 0, 7, 1, 9"),
        ("407192", "en", "4, 0, 7; 1, 9, 2"),
        ("4071925", "en", "4, 0, 7; 1, 9, 2, 5"),
        ("40719253", "en", "4, 0, 7, 1; 9, 2, 5, 3"),
        ("407192538", "en", "4, 0, 7; 1, 9, 2; 5, 3, 8"),
        ("4071925386", "en", "4, 0, 7; 1, 9, 2; 5, 3, 8, 6"),
        ("40719253864", "en", "4, 0, 7, 1; 9, 2, 5, 3; 8, 6, 4"),
        ("000000000000", "en", "0, 0, 0, 0; 0, 0, 0, 0; 0, 0, 0, 0"),
    ],
)
def test_a_code_is_spelled_character_by_character_in_groups(code, language, spelled):
    assert spell(code, language) == spelled


@pytest.mark.parametrize(
    ("message", "code", "spoken"),
    [
        ("{code}", "407", "4, 0, 7"),
        ("{code}.", "407", "4, 0, 7."),
        ("{code}{code}", "407", "4, 0, 7; 4, 0, 7"),
        ("{code} {code}", "407", "4, 0, 7; 4, 0, 7"),
        ("{code}5", "407", "4, 0, 7, 5"),
        ("G-{code}", "407", "G-4, 0, 7"),
        ("PIN{code}", "407", "PIN, 4, 0, 7"),
        ("12{code}", "407", "12, 4, 0, 7"),
        ('"{code}" is it', "407", '4, 0, 7", is it'),
        ('Say "{code}".', "407", 'Say "4, 0, 7".'),
        ("({code}) is it", "4AB", "(4, A, B), is it"),
        ('{code} "now"', "407", '4, 0, 7, "now"'),
        ("{code}! Now.", "407", "4, 0, 7! Now."),
        ("{code} , now", "407", "4, 0, 7 , now"),
        ("{code} ", "407", "4, 0, 7 "),
    ],
)
def test_a_code_keeps_apart_from_what_is_around_it(message, code, spoken):
    assert spoken_text(message, code, "en") == (spoken if not message.startswith('"') else '"' + spoken)


@pytest.mark.parametrize("language", ["de", "da-DK", "pl-PL", "cs", "fi", "tr-TR", "hu"])
def test_a_full_stop_after_a_digit_makes_no_ordinal(language):
    assert spoken_text("Code {code}. Code {code}.", "407", language) == "Code 4, 0, 7; Code 4, 0, 7"
    assert spoken_text("{code}...", "407", language) == "4, 0, 7..."
    assert spoken_text("{code}.", "40A", language) == "4, 0, A."


def test_the_languages_that_are_asked_for_have_rules_of_their_own():
    asked = ("en", "es", "fr", "de", "pt", "it", "id", "ms", "th", "vi", "zh", "ja", "ko", "hi", "ta", "ar")

    assert [one for one in asked if one not in LANGUAGES] == []


@pytest.mark.parametrize("language", [*LANGUAGES, "xx"])
def test_no_sign_of_a_pause_is_a_full_stop(language):
    assert "." not in spell("407192538", language)
    assert language_of(language).pause.strip() in PAUSES


@pytest.mark.parametrize("code", ["", "40", "4" * 13, "40 71", "4-071", "40.7", "\u0664\u0660\u0667", "{code}"])
def test_a_code_of_other_characters_is_refused_without_repeating_it(code):
    with pytest.raises(ValueError, match=r"^code: must be 3 to 12 digits or letters A to Z$"):
        spell(code, "en")


CODES = st.from_regex(CODE, fullmatch=True)
TAGS = st.sampled_from([*LANGUAGES, "sw", "en-US-BenjaminRUS"])


@settings(max_examples=100, deadline=None)
@given(code=CODES, language=TAGS)
def test_every_character_of_a_code_is_spoken_alone_and_in_order(code, language):
    spelled = spell(code, language)

    assert re.sub(rf"[{PAUSES} ]", "", spelled) == code.upper()
    assert re.fullmatch(rf"[0-9A-Z]([{PAUSES}] ?[0-9A-Z])*", spelled)
    assert sanitise(spelled) == (spelled, [])


@settings(max_examples=150, deadline=None)
@example(code="0000", language="de", around=["1", ".1", ""])
@given(code=CODES, language=TAGS, around=st.lists(st.text("ab1 .,\u7684\u0e04\"'", max_size=4), min_size=2, max_size=4))
def test_wherever_a_code_stands_no_digit_touches_another(code, language, around):
    spoken = spoken_text("{code}".join(around), code, language)

    spelled = spell(code, language)
    assert spoken.count(spelled) >= len(around) - 1
    for found in re.finditer(re.escape(spelled), spoken):
        assert not spoken[: found.start()][-1:].isdecimal()
        assert not spoken[found.end() :][:1].isalnum()
    assert len(spoken) <= MAX_SPOKEN
