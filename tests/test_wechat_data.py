"""Data that a phone hands over encrypted or signed: WeChat's own vectors hold, and everything else is refused alike."""

import base64
import json
import secrets
from typing import Any

import pytest
from Crypto.Cipher import AES

from wechat.data import DataRefused, decrypted, is_signed, raw_data_signature, session_key_signature

pytestmark = pytest.mark.quick

# WeChat's published example (aes-sample): key, data, and what is in it.
APPID, OPENID = "wx4f4bc4dec97d474b", "oGZUI0egBJY1zhBYw2KhdUfwVJJE"
KEY = base64.b64decode("tiihtNczf5v6AKRyjwEUhQ==")
IV = "r7BXXKkLb8qrSNn05n0qiA=="
ENCRYPTED = (
    "CiyLU1Aw2KjvrjMdj8YKliAjtP4gsMZMQmRzooG2xrDcvSnxIMXFufNstNGTyaGS9uT5geRa0W4oTOb1WT7fJlAC+oNPdbB+3hVb"
    "JSRgv+4lGOETKUQz6OYStslQ142dNCuabNPGBzlooOmB231qMM85d2/fV6ChevvXvQP8Hkue1poOFtnEtpyxVLW1zAo6/1Xx1COx"
    "Fvrc2d7UL/lmHInNlxuacJXwu0fjpXfz/YqYzBIBzD6WUfTIF9GRHpOn/Hz7saL8xz+W//FRAUid1OksQaQx4CMs8LOddcQhULW4"
    "ucetDf96JcR3g0gfRK4PC7E/r7Z6xNrXd2UIeorGj5Ef7b1pJAYB6Y5anaHqZ9J6nKEBvB4DnNLIVWSgARns/8wR2SiRS7MNACwT"
    "yrGvt9ts8p12PKFdlqYTopNHR1Vf7XjfhQlVsAJdNiKdYmYVoKlaRv85IfVunYzO0IKXsyl7JCUjCpoG20f0a04COwfneQAGGwd5"
    "oa+T8yO5hzuyDb/XcxxmK01EpqOyuxINew=="
)

# WeChat's page on signatures: rawData with SHA-1, and the HMAC of the page for mini games.
RAW_DATA = (
    '{"nickName":"Band","gender":1,"language":"zh_CN","city":"Guangzhou","province":"Guangdong","country":"CN",'
    '"avatarUrl":"http://wx.qlogo.cn/mmopen/vi_32/1vZvI39NWFQ9XM4LtQpFrQJ1xlgZxx3w7bQxKARol6503Iuswjjn6nIGBiaycAjAtpujxyzYsrztuuICqIM5ibXQ/0"}'
)
RAW_KEY, RAW_SIGNATURE = base64.b64decode("HyVFkGl5F5OQWJZZaNzBBg=="), "75e81ceda165f4ffa64f4068af58c64b8f54b88c"
HMAC_KEY = base64.b64decode("o0q0otL8aEzpcZL/FT9WsQ==")
OWN_KEY = bytes(range(16))


def sealed(plain: bytes, key: bytes = OWN_KEY, iv: bytes = bytes(16), padding: bytes | None = None) -> tuple[str, str]:
    """Any bytes as a phone would hand them over, with the padding that a test wants."""
    if padding is None:
        length = 16 - len(plain) % 16
        padding = bytes([length]) * length
    ciphertext = AES.new(key, AES.MODE_CBC, iv=iv).encrypt(plain + padding)
    return base64.b64encode(ciphertext).decode(), base64.b64encode(iv).decode()


def told(**fields: object) -> bytes:
    return json.dumps({"watermark": {"appid": APPID, "timestamp": 1}, **fields}, ensure_ascii=False).encode()


def opens(encrypted: str, iv: str, key: bytes = OWN_KEY) -> dict[str, Any] | None:
    """What stands in it; None when it is refused."""
    try:
        return decrypted(key, encrypted, iv, appid=APPID, openid=OPENID)
    except DataRefused:
        return None


def test_wechat_s_own_example_opens() -> None:
    found = opens(ENCRYPTED, IV, KEY)
    assert found is not None
    assert (found["openId"], found["nickName"], found["unionId"]) == (OPENID, "Band", "ocMvos6NjeKLIBqg5Mr9QjxrP1FA")
    assert found["watermark"] == {"timestamp": 1477314187, "appid": APPID}


def test_a_plus_that_a_form_made_a_blank_is_one_again() -> None:
    assert opens(ENCRYPTED.replace("+", " "), IV, KEY) == opens(ENCRYPTED, IV, KEY)


@pytest.mark.parametrize(
    ("encrypted", "iv", "key"),
    [
        pytest.param(ENCRYPTED, "r7BXXKkLb8qrSNn05n2qiA==", KEY, id="a mistyped iv: one byte is not UTF-8"),
        pytest.param(ENCRYPTED, "r7BXXKkLb8qrSNnD+X8nmQ==", KEY, id="a forged iv: another openid, all else right"),
        pytest.param(ENCRYPTED, IV, RAW_KEY, id="another key"),
        pytest.param(ENCRYPTED, IV, KEY + bytes(8), id="a key of AES-192"),
        pytest.param(ENCRYPTED, IV, KEY + bytes(16), id="a key of AES-256"),
        pytest.param(ENCRYPTED, IV, b"", id="no key"),
        pytest.param(ENCRYPTED[:-4], IV, KEY, id="cut within a block"),
        pytest.param(ENCRYPTED + "!", IV, KEY, id="letters that lenient readers skip"),
        pytest.param(ENCRYPTED, IV[:-1], KEY, id="a cut iv"),
        pytest.param("", IV, KEY, id="nothing"),
        pytest.param("ü", "ü", KEY, id="no ASCII"),
    ],
)
def test_variants_of_the_example_are_refused(encrypted: str, iv: str, key: bytes) -> None:
    assert opens(encrypted, iv, key) is None


def test_the_example_is_for_its_mini_program_and_its_person_alone() -> None:
    for appid, openid in (("wx0000000000000000", OPENID), (APPID, OPENID[:-1]), (APPID, "")):
        with pytest.raises(DataRefused):
            decrypted(KEY, ENCRYPTED, IV, appid=appid, openid=openid)


def test_data_that_names_nobody_opens_for_whoever_has_the_key() -> None:
    assert opens(*sealed(told(phoneNumber="13580006666"))) == json.loads(told(phoneNumber="13580006666"))
    assert opens(*sealed(told(nickName="小明👋"))) is not None


@pytest.mark.parametrize(
    "plain",
    [
        b"[]",
        b'"x"',
        b"{}",
        b'{"watermark":[]}',
        b'{"watermark":{"timestamp":1}}',
        told(openId="o-another"),
        told(openId=None),
        told(openId=[OPENID]),
        told(openid="o-another"),
        told(x=1)[:-1] + b',"x":2}',
        told(x=1)[:-1] + b',"y":NaN}',
        told(x=1)[:-1] + b',"y":1e999}',
        told(x=1)[:-1] + b',"y":"\\ud800"}',
        told(x=1)[:-1] + b',"y":"\xff"}',
        told(x=1)[:-1] + b',"y":' + b"[" * 40 + b"]" * 40 + b"}",
        told(x=1)[:-1] + b',"y":' + b"[" * 20_000 + b"]" * 20_000 + b"}",
        told(x=1)[:-1] + b',"y":' + b"9" * 5_000 + b"}",
        b"\xef\xbb\xbf" + told(),
    ],
)
def test_what_opens_but_is_not_one_strict_object_of_ours_is_refused(plain: bytes) -> None:
    assert opens(*sealed(plain)) is None


def test_only_right_padding_is_taken() -> None:
    plain = told(x="")
    plain += b" " * (-len(plain) % 16)
    for length in range(1, 17):
        right = bytes([length]) * length
        assert opens(*sealed(plain + b" " * (16 - length), padding=right)) is not None
        if length > 1:
            assert opens(*sealed(plain + b" " * (16 - length), padding=b"\x00" + right[1:])) is None
    for last in (0, 17, 32, 255):
        assert opens(*sealed(plain, padding=bytes([last]) * 16)) is None


def test_none_of_a_padding_oracle_s_4096_questions_is_answered() -> None:
    encrypted, iv = sealed(told(phoneNumber="13580006666"))
    data = base64.b64decode(encrypted)
    taken = 0
    for place in range(17, 33):
        for value in range(256):
            probe = bytearray(data)
            probe[-place] = value
            taken += opens(base64.b64encode(bytes(probe)).decode(), iv) is not None
    assert taken == 16  # the sixteen that change nothing


def test_wechat_s_examples_of_signatures_hold() -> None:
    assert raw_data_signature(RAW_DATA, RAW_KEY) == RAW_SIGNATURE
    assert is_signed(RAW_DATA, RAW_SIGNATURE, RAW_KEY)
    assert is_signed(RAW_DATA, RAW_SIGNATURE.upper(), RAW_KEY)
    chinese = '{"nickName":"小明👋","gender":0,"language":"zh_CN","city":"","province":"","country":"","avatarUrl":""}'
    assert raw_data_signature(chinese, RAW_KEY) == "7e54ac1e598426cc856fc92c753a20f32adb75d3"
    message = b'{"foo":"bar"}'
    assert (
        session_key_signature(HMAC_KEY, message) == "654571f79995b2ce1e149e53c0a33dc39c0a74090db514261454e8dbe432aa0b"
    )
    assert session_key_signature(HMAC_KEY) == "46e043c5525c2d817c44be603d30837a808a1d930d038f6fdc3e62a201fed128"


@pytest.mark.parametrize("signature", ["", "x", RAW_SIGNATURE[:-1], RAW_SIGNATURE + "0", "ü" * 40, "\x00" * 40])
def test_other_signatures_do_not(signature: str) -> None:
    assert not is_signed(RAW_DATA, signature, RAW_KEY)
    assert not is_signed(RAW_DATA + " ", RAW_SIGNATURE, RAW_KEY)
    assert not is_signed(RAW_DATA, RAW_SIGNATURE, secrets.token_bytes(16))
