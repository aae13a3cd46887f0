"""The speech profiles the simulated account offers, and the countries of phone numbers."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final

from phonenumbers import COUNTRY_CODE_TO_REGION_CODE

# (speechProfileCode, localeCode, localeDescription, gender); the first four appear in 8x8's samples.
_PROFILES: Final = (
    ("en-US-BenjaminRUS", "en-US", "EnglishUS", "M"),
    ("en-US-ZiraRUS", "en-US", "EnglishUS", "F"),
    ("en-IE-EmilyNeural", "en-IE", "EnglishIreland", "F"),
    ("en-GB-Emma", "en-GB", "EnglishUK", "F"),
    ("en-US-Standard-A", "en-US", "EnglishUS", "F"),
    ("en-GB-RyanNeural", "en-GB", "EnglishUK", "M"),
    ("en-AU-NatashaNeural", "en-AU", "EnglishAustralia", "F"),
    ("en-IN-NeerjaNeural", "en-IN", "EnglishIndia", "F"),
    ("en-SG-LunaNeural", "en-SG", "EnglishSingapore", "F"),
    ("es-ES-ElviraNeural", "es-ES", "SpanishSpain", "F"),
    ("es-MX-DaliaNeural", "es-MX", "SpanishMexico", "F"),
    ("fr-FR-DeniseNeural", "fr-FR", "FrenchFrance", "F"),
    ("fr-CA-SylvieNeural", "fr-CA", "FrenchCanada", "F"),
    ("de-DE-KatjaNeural", "de-DE", "GermanGermany", "F"),
    ("pt-BR-FranciscaNeural", "pt-BR", "PortugueseBrazil", "F"),
    ("pt-PT-RaquelNeural", "pt-PT", "PortuguesePortugal", "F"),
    ("it-IT-ElsaNeural", "it-IT", "ItalianItaly", "F"),
    ("id-ID-GadisNeural", "id-ID", "IndonesianIndonesia", "F"),
    ("ms-MY-YasminNeural", "ms-MY", "MalayMalaysia", "F"),
    ("th-TH-PremwadeeNeural", "th-TH", "ThaiThailand", "F"),
    ("vi-VN-HoaiMyNeural", "vi-VN", "VietnameseVietnam", "F"),
    ("fil-PH-BlessicaNeural", "fil-PH", "FilipinoPhilippines", "F"),
    ("zh-CN-XiaoxiaoNeural", "zh-CN", "ChineseMandarin", "F"),
    ("zh-HK-HiuMaanNeural", "zh-HK", "ChineseCantonese", "F"),
    ("zh-TW-HsiaoChenNeural", "zh-TW", "ChineseTaiwan", "F"),
    ("ja-JP-NanamiNeural", "ja-JP", "JapaneseJapan", "F"),
    ("ko-KR-SunHiNeural", "ko-KR", "KoreanKorea", "F"),
    ("hi-IN-SwaraNeural", "hi-IN", "HindiIndia", "F"),
    ("ta-IN-PallaviNeural", "ta-IN", "TamilIndia", "F"),
    ("ar-SA-ZariyahNeural", "ar-SA", "ArabicSaudiArabia", "F"),
    ("ar-EG-SalmaNeural", "ar-EG", "ArabicEgypt", "F"),
)

SPEECH_PROFILES: Final[list[dict[str, str]]] = [
    {"speechProfileCode": code, "localeCode": locale, "localeDescription": description, "gender": gender}
    for code, locale, description, gender in _PROFILES
]
VOICE_CODES: Final = frozenset(code for code, _, _, _ in _PROFILES)


@lru_cache(maxsize=4096)
def _region_of_prefix(prefix: str) -> tuple[str, int] | None:
    if not prefix.isdecimal():
        return None
    for digits in (1, 2, 3):
        regions: Any = COUNTRY_CODE_TO_REGION_CODE.get(int(prefix[:digits]))
        if regions:
            return regions[0], int(prefix[:digits])
    return None


def country_of(number: str) -> str | None:
    """ISO code of the main country behind an E.164 number's calling code; None when no country has it."""
    found = _region_of_prefix(number[1:4])
    return found[0] if found else None


def calling_code_of(number: str) -> int | None:
    """The calling code itself, as the log export shows countries."""
    found = _region_of_prefix(number[1:4])
    return found[1] if found else None
