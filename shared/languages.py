"""What is particular to the languages that messages are spoken in: signs of a pause, and how fast voices are."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class Language:
    """
    How a code is written so that it is understood, and how long speaking takes.

    ``pause`` stands between two characters, ``long_pause`` between two groups of them. Neither has a full stop. The
    rates are those of a usual voice at speed 1, on its slow side: estimates made of them are to be upper ones.
    """

    pause: str = ", "
    long_pause: str = "; "
    #: A full stop after a digit makes an ordinal of it: "4." is "vierte".
    has_ordinal_stop: bool = False
    letters_per_s: float = 12.0  # code points of alphabets, marks and spaces included
    ideographs_per_s: float = 4.5  # Han, kana, hangul: one syllable or more each
    digit_s: float = 0.5


_USUAL: Final = Language()
_ORDINAL: Final = replace(_USUAL, has_ordinal_stop=True)

# Letters a second follow from syllables a second (Pellegrino, Coupe and Marsico 2011: English 6.2, German 6.0, French
# 7.2, Italian 7.0, Spanish 7.8, Japanese 7.8, Mandarin 5.2, Vietnamese 5.2), of which a voice that speaks 160 English
# words a minute makes some two thirds, and from the letters a syllable is written with: scripts without vowels, or
# with few letters a syllable, take longer for as many letters.
LANGUAGES: Final[Mapping[str, Language]] = {
    "en": Language(letters_per_s=15.0, digit_s=0.4),
    "es": Language(letters_per_s=14.0, digit_s=0.45),
    "fr": Language(letters_per_s=15.0, digit_s=0.4),
    "de": Language(letters_per_s=14.5, digit_s=0.4, has_ordinal_stop=True),
    "pt": Language(letters_per_s=13.0, digit_s=0.45),
    "it": Language(letters_per_s=12.5, digit_s=0.5),
    "id": Language(letters_per_s=12.5, digit_s=0.5),
    "ms": Language(letters_per_s=12.5, digit_s=0.5),
    "th": Language(letters_per_s=9.5, digit_s=0.4),
    "vi": Language(letters_per_s=13.0, digit_s=0.4),
    "zh": Language(pause="\uff0c", long_pause="\uff1b", digit_s=0.4),
    "yue": Language(pause="\uff0c", long_pause="\uff1b", digit_s=0.4),
    # A kanji is two morae or so. Japanese has no semicolon, and its full stop makes no ordinals.
    "ja": Language(pause="、", long_pause="。", ideographs_per_s=3.3, digit_s=0.45),
    "ko": Language(digit_s=0.4),
    "hi": Language(letters_per_s=10.0, digit_s=0.45),
    "ta": Language(letters_per_s=8.5, digit_s=0.55),
    "ar": Language(pause="، ", long_pause="؛ ", letters_per_s=8.5, digit_s=0.55),
    "fa": Language(pause="، ", long_pause="؛ ", letters_per_s=8.5),
    "ur": Language(pause="، ", long_pause="؛ ", letters_per_s=8.5),
    # The Greek semicolon is a question mark.
    "el": Language(long_pause=", "),
    **dict.fromkeys(
        ("bs", "cs", "da", "et", "fi", "fo", "hr", "hu", "is", "lb", "lt", "lv", "nb", "nn", "no", "pl", "sk", "sl",
         "sr", "sv", "tr"),
        _ORDINAL,
    ),
}  # fmt: skip


def primary(tag: str) -> str:
    """The language of a tag or of a voice's code: ``en`` of ``en-US`` and of ``en-US-BenjaminRUS``."""
    return re.split("[-_]", tag, maxsplit=1)[0].lower()


@lru_cache(maxsize=512)
def language_of(tag: str) -> Language:
    """What holds for the language of a BCP 47 tag or of a voice's code; of those without a row, the usual."""
    return LANGUAGES.get(primary(tag), _USUAL)
