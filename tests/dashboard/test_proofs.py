"""What operators prove themselves with: codes by time as RFC 6238 has them, and passwords that are worth something."""

import pytest

from actions import totp
from actions.passwords import PasswordRefused, check_password

pytestmark = pytest.mark.quick

RFC_SECRET = b"12345678901234567890"


@pytest.mark.parametrize(
    ("at", "code"),
    [
        (59, "287082"),
        (1111111109, "081804"),
        (1111111111, "050471"),
        (1234567890, "005924"),
        (2000000000, "279037"),
        (20000000000, "353130"),
    ],
)
def test_the_codes_are_those_of_the_rfc(at: int, code: str) -> None:
    """RFC 6238, appendix B, its last six digits."""
    assert totp.code_at(RFC_SECRET, at // totp.STEP_SECONDS) == code
    assert totp.step_of(RFC_SECRET, code, at) == at // totp.STEP_SECONDS
    assert totp.step_of(RFC_SECRET, f"{code[:3]} {code[3:]}", at) == at // totp.STEP_SECONDS


def test_a_clock_may_be_half_a_minute_off_and_no_more() -> None:
    at = 1234567890
    code = totp.code_at(RFC_SECRET, at // totp.STEP_SECONDS)
    assert totp.step_of(RFC_SECRET, code, at + totp.STEP_SECONDS) == at // totp.STEP_SECONDS
    assert totp.step_of(RFC_SECRET, code, at - totp.STEP_SECONDS) == at // totp.STEP_SECONDS
    assert totp.step_of(RFC_SECRET, code, at + 2 * totp.STEP_SECONDS) is None
    assert totp.step_of(RFC_SECRET, code, at - 2 * totp.STEP_SECONDS) is None


@pytest.mark.parametrize("code", ["", "28708", "2870820", "28708a", "２８７０８２", "x" * 10_000, "\x00"])
def test_what_is_no_code_fits_nothing(code: str) -> None:
    assert totp.step_of(RFC_SECRET, code, 59) is None


def test_the_address_in_the_picture_quotes_the_name() -> None:
    found = totp.address(RFC_SECRET, "李 a&b=c")
    assert found.startswith("otpauth://totp/Menshen:%E6%9D%8E%20a%26b%3Dc?secret=")
    assert found.endswith("&issuer=Menshen")
    assert "=" not in found.partition("secret=")[2].partition("&")[0]


def test_recovery_codes_are_read_however_they_are_typed_and_belong_to_one_operator() -> None:
    codes = totp.new_recovery_codes()
    assert len(set(codes)) == 10
    code = codes[0]
    assert totp.recovery_id(1, code) == totp.recovery_id(1, code.upper().replace("-", " "))
    assert totp.recovery_id(1, code) != totp.recovery_id(2, code)
    assert totp.recovery_id(1, code) != totp.recovery_id(11, code[1:])


@pytest.mark.parametrize(
    "password",
    [
        "letmein12345",
        "Summer2024!!!",
        "iloveyou1234",
        "qazwsxedcrfv",
        "1q2w3e4r5t6y",
        "administrator",
        "welcome-2026",
        "abcabcabcabc",
        "Menshen2026!",
        "trustno1trustno1",
        "111222333444",
        "woaini520520",
    ],
)
def test_a_word_that_everybody_uses_is_not_better_for_being_longer(password: str) -> None:
    with pytest.raises(PasswordRefused) as refused:
        check_password(password, "mei")
    assert refused.value.why == "common"


def test_the_own_name_does_not_count_either() -> None:
    with pytest.raises(PasswordRefused) as refused:
        check_password("zhenglingxin88", "zhenglingxin")
    assert refused.value.why == "common"
    check_password("zhenglingxin88", "mei")


@pytest.mark.parametrize(
    "password",
    [
        "correct horse battery staple",
        "483920174835",
        "Xk29-vmTq!8z",
        "my dog eats the password",
        "火车站旁边有三只很困的猫",
        "x" * 64,
        "four words walk home",
    ],
)
def test_others_are_taken(password: str) -> None:
    check_password(password, "mei")
