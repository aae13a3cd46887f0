"""What is spoken: cleaning a text, putting the code in, how long it takes, how much of it was heard."""

import re
import unicodedata
from collections.abc import Mapping
from typing import Final, Literal

from shared import spelling
from shared.languages import language_of, primary

MAX_SPOKEN: Final = 3000  # code points, 8x8's limit; counted after the code is spelled

_PLACEHOLDER: Final = re.compile(r"\{([A-Za-z][A-Za-z0-9_]*)\}")
_TAG: Final = re.compile(r"</?[A-Za-z!?][^<>]*>")
# Arrows, technical and geometric signs, dingbats, and the whole pictograph planes, with what may trail
# them: joiners, skin tones, variation selectors, tags. Joiners elsewhere belong to Persian and Indic words.
_PICTOGRAPH: Final = re.compile(
    "[\u2190-\u21ff\u2300-\u23ff\u25a0-\u27bf\u2900-\u297f\u2b00-\u2bff\u3030\u303d\U0001f000-\U0001fbff]"
    "[\u200d\ufe0e\ufe0f\u20e3\U000e0020-\U000e007f]*"
    "|[\ufe0e\ufe0f\u20e3]"
)
#: What most messages are: ASCII words with one space between them, and nothing of what is taken out.
_CLEAN: Final = re.compile(r"[!-;=?-~]+(?: [!-;=?-~]+)*")
_JOINERS: Final = "\u200c\u200d"

# One voice per language, from 8x8's list of profiles; an account may lack some (-1002), so start-up checks
# the one in use.
DEFAULT_VOICES: Final[Mapping[str, str]] = {
    "ar": "ar-SA-ZariyahNeural",
    "ar-EG": "ar-EG-SalmaNeural",
    "ar-SA": "ar-SA-ZariyahNeural",
    "bg": "bg-BG-BorislavNeural",
    "bg-BG": "bg-BG-BorislavNeural",
    "ca": "ca-ES-JoanaNeural",
    "ca-ES": "ca-ES-JoanaNeural",
    "en": "en-US-BenjaminRUS",
    "en-GB": "en-GB-Emma",
    "en-IE": "en-IE-EmilyNeural",
    "en-US": "en-US-BenjaminRUS",
    "zh": "zh-CN-XiaoxiaoNeural",
    "zh-CN": "zh-CN-XiaoxiaoNeural",
    "zh-TW": "zh-TW-HsiaoChenNeural",
}

# Estimates at speed 1, rounded up: too long an estimate frees a busy phone a little late and calls a message
# heard a little later, too short a one rings a phone that is still listening.
_SHORT_PAUSE_S: Final = 0.25
_LONG_PAUSE_S: Final = 0.5
_LEAD_S: Final = 0.5  # silence before each play
_SHORT_PAUSES: Final = frozenset(",:،、\uff0c\uff1a")
_LONG_PAUSES: Final = frozenset(".!?;。؟؛।\uff01\uff1b\uff1f")
_IDEOGRAPHS: Final = re.compile("[\u1100-\u11ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af]")

Heard = Literal["full", "partial", "none", "unknown"]


def sanitise(text: str) -> tuple[str, list[str]]:
    """
    Take out what a voice cannot speak, and say in plain words what was taken out.

    8x8 refuses some characters (-1016) without saying which, and would speak or refuse markup. White space
    of any kind becomes one space, which is not worth a warning. Cleaning a clean text changes nothing.
    """
    if _CLEAN.fullmatch(text):
        return text, []
    warnings: list[str] = []
    cleaned = unicodedata.normalize("NFC", text)
    for remove, what in (
        (_without_markup, "Markup and angle brackets were removed."),
        (_without_pictographs, "Emoji and pictographs were removed."),
        (_without_controls, "Control characters were removed."),
    ):
        before, cleaned = cleaned, remove(cleaned)
        if cleaned != before:
            warnings.append(what)
    # Once more: with a character gone, its neighbours may compose.
    return unicodedata.normalize("NFC", " ".join(cleaned.split())), warnings


def placeholders(message: str) -> tuple[str, ...]:
    """Name what stands in braces: ``("code",)`` for "Your code is {code}"."""
    return tuple(_PLACEHOLDER.findall(message))


def filled(message: str, variables: Mapping[str, str]) -> str:
    """Put each variable where its name stands in braces; what has no variable stays as it is."""
    return _PLACEHOLDER.sub(lambda place: variables.get(place[1], place[0]), message)


def spoken_text(message: str, code: str | None, language: str) -> str:
    """
    Put the spelled code wherever ``{code}`` stands.

    Raises:
        ValueError: ``{code}`` and *code* do not come together, or the result is longer than 8x8 speaks.
            The sentence begins with the member to blame and holds neither text nor code.
    """
    has_place = "code" in placeholders(message)
    if has_place and code is None:
        raise ValueError("code: the message has a place for {code} but no code came with it")
    if not has_place and code is not None:
        raise ValueError("message: must contain {code} when a code is given")
    spoken = message if code is None else spelling.with_code(message, code, language)
    if len(spoken) > MAX_SPOKEN:
        raise ValueError(f"message: more than {MAX_SPOKEN} characters once the code is spelled out")
    return spoken


def seconds_per_play(text: str, speed: float, language: str = "en") -> float:
    """
    Estimate how long one play takes, in seconds, the silence before it included. Never zero.

    Args:
        text: As it is spoken.
        speed: 1 is usual; the silence before a play does not depend on it.
        language: BCP 47 tag, or the voice's code, which begins with one.
    """
    pace = language_of(language)
    digits = sum(map(str.isdigit, text))
    ideographs = len(_IDEOGRAPHS.findall(text))
    short = sum(map(text.count, _SHORT_PAUSES))
    long = sum(map(text.count, _LONG_PAUSES))
    letters = len(text) - digits - ideographs - short - long
    spoken = letters / pace.letters_per_s + ideographs / pace.ideographs_per_s + digits * pace.digit_s
    return _LEAD_S + (spoken + short * _SHORT_PAUSE_S + long * _LONG_PAUSE_S) / speed


def repeats_played(connected_s: float, seconds_per_play: float, plays: int) -> int:
    """How many whole plays fit in the connected time, *plays* at most."""
    return min(plays, int(connected_s // seconds_per_play))


def heard(connected_s: float | None, seconds_per_play: float, plays: int, *, answered: bool) -> Heard:
    """
    How much of the message reached the phone, as far as the connected time tells.

    One whole play is ``full``; less is ``partial``; an answered call without a duration is ``unknown``.
    Voicemail counts as a phone: 8x8 does not tell the two apart.
    """
    if not answered:
        return "none"
    if connected_s is None:
        return "unknown"
    return "full" if repeats_played(connected_s, seconds_per_play, plays) else "partial"


def voice_for(language: str | None, default: str) -> str:
    """
    Choose the speech profile for a language; *default* is the operator's own choice.

    The operator's voice speaks its own language, also where the table has none for a country (``en-AU``
    with ``en-US-ZiraRUS``). Any other language gets its row of the table, by full tag or by primary tag.

    Raises:
        ValueError: No voice is known for the language; another language's voice would be gibberish.
    """
    if language is None:
        return default
    tag = language.replace("_", "-").lower()
    if default.lower().startswith(tag + "-"):
        return default
    same_language = default if primary(default) == primary(tag) else None
    voice = _VOICES.get(tag) or same_language or _VOICES.get(primary(tag))
    if voice is None:
        raise ValueError("language: no voice is known for it; name one in voice")
    return voice


_VOICES: Final = {tag.lower(): voice for tag, voice in DEFAULT_VOICES.items()}


def _without_markup(text: str) -> str:
    if "<" not in text and ">" not in text:
        return text
    return _TAG.sub(" ", text).replace("<", " ").replace(">", " ")


def _without_pictographs(text: str) -> str:
    return text if text.isascii() else _PICTOGRAPH.sub(" ", text)


def _without_controls(text: str) -> str:
    """Drop every Unicode category C (control, format, surrogate, private, unassigned) but the joiners."""
    if text.isprintable():
        return text
    return "".join(
        character
        for character in text
        if character.isspace() or character in _JOINERS or unicodedata.category(character)[0] != "C"
    )
