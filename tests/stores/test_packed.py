"""How a session lies in Redis: it comes back as it was, and nothing else is taken for one."""

import secrets
from typing import get_args

import pytest
from engines import APPID, WEEK, now, some_id
from hypothesis import given, settings
from hypothesis import strategies as st

from stores.sessions import Reason, Session
from stores.sessions.packed import HANDLE_BYTES, NotOurs, Packer, epitaph, tombstone

pytestmark = pytest.mark.quick

KEY = secrets.token_bytes(32)
packer = Packer(KEY)
many = settings(max_examples=60, deadline=None, database=None)


def session(**changed: int) -> Session:
    at = now()
    values = {"user_id": 7, "epoch": 3, "created_at": at, "ends_at": at + WEEK, **changed}
    return Session(some_id(), appid=APPID, expires_at=values["ends_at"], sealed_key=secrets.token_bytes(45), **values)


@many
@given(
    id=st.binary(min_size=32, max_size=32),
    user_id=st.integers(0, 2**63 - 1),
    appid=st.from_regex(r"wx[0-9a-f]{16}", fullmatch=True),
    epoch=st.integers(0, 2**32 - 1),
    at=st.integers(0, 2**31),
    sealed_key=st.binary(max_size=64),
)
def test_a_session_comes_back_as_it_was(
    id: bytes,  # noqa: A002  # as the field is called
    user_id: int,
    appid: str,
    epoch: int,
    at: int,
    sealed_key: bytes,
) -> None:
    packed = Session(id, user_id, appid, epoch, at, at + WEEK, at + WEEK, sealed_key)
    assert packer.unpack(id[:HANDLE_BYTES], packer.pack(packed)) == packed


def test_its_moving_end_is_told_by_the_index() -> None:
    mine = session()
    read = packer.unpack(mine.id[:HANDLE_BYTES], packer.pack(mine), mine.ends_at - 100)
    assert (read.expires_at, read.ends_at) == (mine.ends_at - 100, mine.ends_at)


def test_it_is_small() -> None:
    assert len(packer.pack(session())) <= 130


def test_every_flipped_bit_is_noticed() -> None:
    mine = session()
    value = packer.pack(mine)
    for n in range(len(value) * 8):
        flipped = bytearray(value)
        flipped[n // 8] ^= 1 << n % 8
        with pytest.raises(NotOurs):
            packer.unpack(mine.id[:HANDLE_BYTES], bytes(flipped))


def test_a_value_that_is_cut_or_longer_is_noticed() -> None:
    mine = session()
    value = packer.pack(mine)
    for other in [*(value[:n] for n in range(len(value))), value + b"x", b"x" + value]:
        with pytest.raises(NotOurs):
            packer.unpack(mine.id[:HANDLE_BYTES], other)


@many
@given(st.binary(max_size=200))
def test_garbage_is_never_a_session(garbage: bytes) -> None:
    with pytest.raises(NotOurs):
        packer.unpack(b"h" * HANDLE_BYTES, garbage)


def test_a_value_under_another_handle_is_noticed() -> None:
    mine, other = session(), session()
    with pytest.raises(NotOurs):
        packer.unpack(other.id[:HANDLE_BYTES], packer.pack(mine))


def test_a_value_marked_with_another_key_is_noticed() -> None:
    mine = session()
    with pytest.raises(NotOurs):
        Packer(secrets.token_bytes(32)).unpack(mine.id[:HANDLE_BYTES], packer.pack(mine))


def test_two_sessions_have_no_mark_in_common() -> None:
    mine = session()
    assert packer.pack(mine)[-16:] != packer.pack(session())[-16:]


@pytest.mark.parametrize("reason", get_args(Reason))
def test_a_tombstone_says_why_and_is_no_session(reason: Reason) -> None:
    stone = tombstone(reason)
    assert len(stone) == 1
    assert epitaph(stone) == reason
    with pytest.raises(NotOurs):
        packer.unpack(b"h" * HANDLE_BYTES, stone)


def test_no_two_reasons_share_a_tombstone() -> None:
    assert len({tombstone(reason) for reason in get_args(Reason)}) == len(get_args(Reason))


@pytest.mark.parametrize(
    "value", [b"", b"\x00", b"\x01", b"\xef", b"\xf5", b"\xff", b"\xf0\xf0", packer.pack(session())]
)
def test_what_is_no_tombstone_has_no_epitaph(value: bytes) -> None:
    assert epitaph(value) is None
