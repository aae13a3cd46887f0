"""Codes that stand in a text like any other number, and would be spoken as one. Pure."""

from __future__ import annotations

import re
from typing import Final

#: Digits with what may part them inside one number: "123-456", "1,234.50", "2026-10-05", "6512 3456".
_NUMBER: Final = re.compile(r"(?<![\w+])[0-9]+(?:[-.,:/][0-9]+| [0-9]{3,}(?![0-9]))*(?![0-9A-Za-z])", re.ASCII)
_CODE: Final = re.compile(r"[0-9]{4,8}|[0-9]{3}[ -][0-9]{3}")
_YEAR: Final = re.compile(r"(?:19|20)[0-9]{2}")
_PLUS: Final = re.compile(r"\+[0-9 ().-]*\(?$")

_CURRENCIES: Final = (
    r"[$€£¥₩₫₹฿₱₽₺﷼]|(?:USD|EUR|GBP|SGD|MYR|IDR|THB|VND|PHP|INR|JPY|CNY|HKD|TWD|KRW|AUD|BRL|MXN|AED|SAR|CHF"
    r"|Rp|RM|Rs)\.?"
)
_AFTER_CURRENCY: Final = re.compile(rf"(?:{_CURRENCIES}) ?$", re.IGNORECASE)
_BEFORE_CURRENCY: Final = re.compile(
    rf" ?(?:(?:{_CURRENCIES})(?![a-z])|%|元|円|원|đ|บาท"
    r"|(?:dollars?|euros?|pounds?|pesos?|reais|rupiah|ringgit|rupees?|baht|dong|yen|won|yuan|cents?|points?)\b)",
    re.IGNORECASE,
)
#: "5 October 2026", "5. Oktober 2026", "5 de octubre de 2026", "October 5, 2026", "in 2026".
_BEFORE_YEAR: Final = re.compile(
    r"(?:\b[0-9]{1,2}(?:st|nd|rd|th)?\.? (?:de |of )?[^\W\d_]{3,}\.?,? (?:de |of )?"
    r"|[^\W\d_]{3,}\.? [0-9]{1,2}(?:st|nd|rd|th)?, ?"
    r"|\b(?:in|since|until|year|january|february|march|april|may|june|july|august|september|october|november|december"
    r"|en|seit|bis|im jahr|année|año|ano|anno|tahun|năm) )$",
    re.IGNORECASE,
)
_AFTER_YEAR: Final = re.compile(r" ?[年년]")


def find(message: str) -> list[str]:
    """
    The digits of what looks like a code: 4 to 8 in a row, "123 456" or "123-456".

    Phone numbers, amounts, times and years in dates are told apart by what stands around them. It is a guess, good
    enough to warn by.
    """
    return [
        re.sub("[ -]", "", found[0])
        for found in _NUMBER.finditer(message)
        if _CODE.fullmatch(found[0]) and not _is_other(found[0], message[: found.start()], message[found.end() :])
    ]


def _is_other(number: str, before: str, after: str) -> bool:
    if _PLUS.search(before[-20:]) or _AFTER_CURRENCY.search(before[-6:]) or _BEFORE_CURRENCY.match(after):
        return True
    is_year = _YEAR.fullmatch(number) is not None
    return is_year and bool(_BEFORE_YEAR.search(before[-40:]) or _AFTER_YEAR.match(after))
