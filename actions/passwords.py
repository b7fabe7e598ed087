"""Operators' passwords: which ones are refused, and their hashes, made in two threads so that no phone waits for them.

A password is taken as it is typed, in Unicode's form NFC: two keyboards may write "é" in different ways.
"""

import asyncio
import re
import unicodedata
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import VerificationError

T = TypeVar("T")

SHORTEST = 12  # characters
LONGEST_BYTES = 1024
_THREADS = 2
_MOST_WAITING = 32
_TOO_FEW_LEFT = 5
_TOO_LONG_TO_BE_COMMON = 40  # characters; nobody's list of guesses goes so far

# OWASP's password storage cheat sheet: argon2id with 19 MiB, two rounds, one lane; a salt of its own for each hash.
_hasher = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1, hash_len=32, salt_len=16)

# What people put in the place of letters.
_LEET = str.maketrans("@430$51!7", "aaeossiit")
_SIGNS = re.compile(r"[\s!-/:-@\[-`{-~]+")  # of ASCII: anybody's emoji are as good as letters
_YEAR = re.compile(r"(?:19|20)\d\d")
_REPEATED = re.compile(r"(.{1,4}?)\1{2,}")


class PasswordRefused(Exception):
    """This cannot be a password here; `why` is "short", "long", "name" or "common"."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


class TooManyHashes(Exception):
    """More passwords wait to be hashed than this process takes on."""

    retry_after_seconds = 5


def check_password(password: str, name: str) -> None:
    """Refuses what guessers try first (OWASP ASVS 6.2.1, 6.2.4, 6.2.11). Raises PasswordRefused."""
    plain = unicodedata.normalize("NFC", password)
    if len(plain.encode("utf-8")) > LONGEST_BYTES:
        raise PasswordRefused("long")
    if len(plain) < SHORTEST:
        raise PasswordRefused("short")
    lower = _plain(plain)
    if _plain(name) and not lower.replace(_plain(name), ""):
        raise PasswordRefused("name")
    if len(plain) < _TOO_LONG_TO_BE_COMMON and _is_common(lower, _plain(name)):
        raise PasswordRefused("common")


def _plain(text: str) -> str:
    return unicodedata.normalize("NFKC", text).casefold()


def _is_common(lower: str, name: str) -> bool:
    """Whether almost nothing is left of it without common words, the names, years, rows of keys and repetitions.

    Of the 3,000 passwords that are used most hardly one has twelve characters; people lengthen one of them instead.
    """
    return min(_left(lower, name), _left(lower.translate(_LEET), name)) < _TOO_FEW_LEFT


def _left(text: str, name: str) -> int:
    for word in (name, *_COMMON):
        if len(word) > 2:
            text = text.replace(word, " ")
    text = _REPEATED.sub(r"\1", _YEAR.sub(" ", text))
    left = _SIGNS.sub("", text)
    return len(set(left)) if len(set(left)) < _TOO_FEW_LEFT else len(left)


def _common_words() -> tuple[str, ...]:
    """The list beside this file, the longest first, so that no word hides a longer one."""
    text = Path(__file__).with_name("common_passwords.txt").read_text("utf-8")
    words = {word for line in text.splitlines() if not line.startswith("#") for word in line.split()}
    return tuple(sorted(words, key=lambda word: (-len(word), word)))


_COMMON = _common_words()


class Passwords:
    """Makes and checks hashes in two threads of 19 MiB each; more than a few that wait are refused."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="password")
        self._waiting = 0
        self._nobody_s: str | None = None

    async def hash(self, password: str) -> str:
        """The hash, with its parameters and its salt, as one text. Raises TooManyHashes."""
        return await self._in_thread(_hash, password)

    async def check(self, password: str, hashed: str | None) -> bool:
        """Whether it is the password of the hash; without one the same work is done for nothing.

        So an answer takes as long for a name that does not exist (OWASP ASVS 6.3.8). Raises TooManyHashes.
        """
        if self._nobody_s is None:
            self._nobody_s = await self._in_thread(_hash, "nobody's")
        right = await self._in_thread(_is_right, password, hashed or self._nobody_s)
        return right and hashed is not None

    def is_outdated(self, hashed: str) -> bool:
        """Whether the hash was made with other parameters than today's."""
        return _hasher.check_needs_rehash(hashed)

    def close(self) -> None:
        """Lets the threads end."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _in_thread(self, work: Callable[..., T], *given: str) -> T:
        if self._waiting >= _MOST_WAITING:
            raise TooManyHashes
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work, *given)
        finally:
            self._waiting -= 1


def _hash(password: str) -> str:
    return _hasher.hash(_bytes(password))


def _is_right(password: str, hashed: str) -> bool:
    if len(_bytes(password)) > LONGEST_BYTES:
        password = ""  # hashed all the same, so that this answer takes as long as any other
    try:
        return _hasher.verify(hashed, _bytes(password))
    except VerificationError:
        return False


def _bytes(password: str) -> bytes:
    return unicodedata.normalize("NFC", password).encode("utf-8")
