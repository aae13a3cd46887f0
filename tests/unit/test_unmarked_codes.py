"""Which numbers of a text look like codes."""

import pytest

from shared.unmarked_codes import find


@pytest.mark.parametrize(
    ("message", "codes"),
    [
        ("Your code is 4711.", ["4711"]),
        ("Your code is 2019.", ["2019"]),
        ("482915 is your code", ["482915"]),
        ("Code 482 915 or 482-915, valid 5 minutes", ["482915", "482915"]),
        ("Code: 12345678", ["12345678"]),
        ("G-482915", ["482915"]),
        ("验证码是482915。", ["482915"]),
        ("รหัสคือ482915ค่ะ", ["482915"]),
        ("Use 4711 10 minutes long", ["4711"]),
        ("first 1111, then 2222", ["1111", "2222"]),
        ("{code}", []),
        ("4, 7, 1, 1", []),
        ("4 7 1 1", []),
        ("123", []),
        ("123456789", []),
        ("call +65 6512 3456", []),
        ("call +6565123456 or 6512 3456", []),
        ("call (65) 6512-3456", []),
        ("call 01 234 5678", []),
        ("you paid $4500, 4500 EUR, USD 4500, Rp4500, 4500 dollars and 1,234.50", []),
        ("支付4500元", []),
        ("at 14:30 on 2026-10-05, 5/10/2026", []),
        ("5 October 2026, October 5, 2026, 5. Oktober 2026, 5 de octubre de 2026, in 2026", []),
        ("2026年10月5日", []),
        ("AB1234", []),
        ("1234AB", []),
        ("", []),
    ],
)
def test_a_number_is_taken_for_a_code_unless_it_is_plainly_another(message, codes):
    assert find(message) == codes
