"""A sealed session_key opens for its own session, whole, and nowhere else."""

import time

import pytest
from Crypto.Cipher import AES

from wechat.crypto import ASK_AGAIN_SECONDS, Seal, SealBroken, SealingKeys, person_mark

pytestmark = pytest.mark.quick

SESSION = b"\x11" * 32
SESSION_KEY = bytes(range(16))
OLD, NEW = b"o" * 32, b"n" * 32
# Worked out with the OpenSSL command line: the lengths, 18 and 4 as four bytes each, stand before the parts.
#   printf '\0\0\0\022wx0000000000000001\0\0\0\004oAbC' | openssl dgst -sha256 -mac HMAC -macopt hexkey:6b…6b (32 times)
MARK = "1992276bf7ec55bb141574b93f820049bff601b98dda9b9113877126108ca638"


@pytest.fixture
def seal() -> Seal:
    return Seal({1: OLD}, current=1)


def test_what_was_sealed_opens_for_the_same_session(seal: Seal) -> None:
    assert seal.open(seal.seal(SESSION_KEY, SESSION), SESSION) == SESSION_KEY


@pytest.mark.parametrize("plain", [b"", b"x", b"y" * 1000], ids=["nothing", "one byte", "a kilobyte"])
def test_any_length_can_be_sealed(seal: Seal, plain: bytes) -> None:
    assert seal.open(seal.seal(plain, SESSION), SESSION) == plain


def test_the_sealed_form_is_key_id_nonce_ciphertext_and_tag(seal: Seal) -> None:
    sealed = seal.seal(SESSION_KEY, SESSION)
    assert sealed[0] == 1
    assert len(sealed) == 1 + 12 + len(SESSION_KEY) + 16
    assert SESSION_KEY not in sealed


def test_it_is_aes_256_gcm_as_another_library_knows_it(seal: Seal) -> None:
    nonce = bytes(range(12))
    other = AES.new(OLD, AES.MODE_GCM, nonce=nonce)
    other.update(SESSION)
    ciphertext, tag = other.encrypt_and_digest(SESSION_KEY)
    assert seal.open(b"\x01" + nonce + ciphertext + tag, SESSION) == SESSION_KEY


def test_the_same_key_sealed_a_thousand_times_never_looks_the_same(seal: Seal) -> None:
    nonces = {seal.seal(SESSION_KEY, SESSION)[1:13] for _ in range(1000)}
    assert len(nonces) == 1000


def test_a_sealed_key_moved_to_another_session_does_not_open(seal: Seal) -> None:
    sealed = seal.seal(SESSION_KEY, SESSION)
    for other in (b"\x12" + SESSION[1:], SESSION[:-1], SESSION + b"\x00", b""):
        with pytest.raises(SealBroken):
            seal.open(sealed, other)


def test_no_bit_can_be_flipped_unnoticed() -> None:
    seal = Seal({1: OLD, 0: NEW, 3: b"t" * 32}, current=1)  # the flipped key id meets existing keys, too
    sealed = seal.seal(SESSION_KEY, SESSION)
    for bit in range(len(sealed) * 8):
        changed = bytearray(sealed)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(SealBroken):
            seal.open(bytes(changed), SESSION)


def test_a_cut_or_lengthened_seal_does_not_open(seal: Seal) -> None:
    sealed = seal.seal(SESSION_KEY, SESSION)
    for length in range(len(sealed)):
        with pytest.raises(SealBroken):
            seal.open(sealed[:length], SESSION)
    with pytest.raises(SealBroken):
        seal.open(sealed + b"\x00", SESSION)


def test_after_a_rotation_old_seals_open_and_new_ones_take_the_new_key(seal: Seal) -> None:
    old = seal.seal(SESSION_KEY, SESSION)
    rotated = Seal({1: OLD, 2: NEW}, current=2)
    new = rotated.seal(SESSION_KEY, SESSION)
    assert new[0] == 2
    assert rotated.open(old, SESSION) == rotated.open(new, SESSION) == SESSION_KEY


def test_newer_keys_are_asked_for_once_in_a_second_when_a_seal_names_an_unknown_one() -> None:
    asked: list[float] = []
    found: list[SealingKeys] = []

    def newer() -> SealingKeys | None:
        asked.append(time.monotonic())
        return found[0] if found else None

    new = Seal({1: OLD, 2: NEW}, current=2).seal(SESSION_KEY, SESSION)
    behind = Seal({1: OLD}, current=1, newer=newer)
    for _ in range(50):
        with pytest.raises(SealBroken):
            behind.open(new, SESSION)
    assert len(asked) <= 1 + (time.monotonic() - asked[0]) / ASK_AGAIN_SECONDS
    found.append(({1: OLD, 2: NEW}, 2))
    time.sleep(ASK_AGAIN_SECONDS)
    assert behind.open(new, SESSION) == SESSION_KEY
    assert behind.seal(SESSION_KEY, SESSION)[0] == 2


@pytest.mark.parametrize("wrong", [{1: OLD, 2: OLD}, {2: b"short"}, {1: OLD}])
def test_newer_keys_that_are_none_leave_those_that_there_are(wrong: dict[int, bytes]) -> None:
    new = Seal({1: OLD, 2: NEW}, current=2).seal(SESSION_KEY, SESSION)
    behind = Seal({1: OLD}, current=1, newer=lambda: (wrong, 2))
    with pytest.raises(SealBroken):
        behind.open(new, SESSION)
    assert behind.open(behind.seal(SESSION_KEY, SESSION), SESSION) == SESSION_KEY


def test_a_seal_of_a_withdrawn_key_does_not_open(seal: Seal) -> None:
    old = seal.seal(SESSION_KEY, SESSION)
    with pytest.raises(SealBroken):
        Seal({2: NEW}, current=2).open(old, SESSION)
    with pytest.raises(SealBroken):
        Seal({1: NEW}, current=1).open(old, SESSION)


@pytest.mark.parametrize(
    ("keys", "current"),
    [
        ({1: b"short"}, 1),
        ({1: b"k" * 16}, 1),
        ({1: OLD}, 2),
        ({}, 1),
        ({256: OLD}, 256),
        ({-1: OLD}, -1),
        ({1: OLD, 2: OLD}, 2),
    ],
    ids=["5 bytes", "16 bytes", "no current key", "no key", "id 256", "id -1", "one key twice"],
)
def test_unusable_keys_are_refused_at_once_and_not_shown(keys: dict[int, bytes], current: int) -> None:
    with pytest.raises(ValueError, match="key") as refusal:
        Seal(keys, current)
    assert not any(key.decode() in str(refusal.value) for key in keys.values())


def test_a_seal_shows_its_key_ids_and_never_a_key(seal: Seal) -> None:
    assert repr(seal) == str(seal) == "Seal(key ids [1], current 1)"


def test_a_broken_seal_tells_nothing_about_the_cause(seal: Seal) -> None:
    sealed = seal.seal(SESSION_KEY, SESSION)
    texts = set()
    for wrong, session in ((b"\x09" + sealed[1:], SESSION), (sealed[:-1] + b"\x00", SESSION), (sealed, b"")):
        with pytest.raises(SealBroken) as broken:
            seal.open(wrong, session)
        texts.add(repr(broken.value))
    assert len(texts) == 1


def test_a_persons_mark_is_hmac_sha256_over_both_parts_with_their_lengths() -> None:
    assert person_mark(b"k" * 32, "wx0000000000000001", "oAbC").hex() == MARK


def test_marks_tell_people_apps_and_keys_apart() -> None:
    key, other = b"k" * 32, b"q" * 32
    marks = {
        person_mark(key, "wx1", "oAbC"),
        person_mark(key, "wx1", "oabc"),
        person_mark(key, "wx1o", "AbC"),
        person_mark(key, "wx2", "oAbC"),
        person_mark(other, "wx1", "oAbC"),
    }
    assert len(marks) == 5


def test_a_short_key_makes_no_marks() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        person_mark(b"short", "wx1", "oAbC")
