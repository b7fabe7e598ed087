"""What settings are made of: secrets that never print, and how each kind of value is read."""

import hmac
import os
import re
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any, Generic, Literal, NoReturn, TypeVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec
from msgspec.structs import asdict, replace

T = TypeVar("T")


class WrongValue(ValueError):
    """A value cannot be what its setting takes; the message never quotes the value, so it may be shown."""


class Secret:
    """A text that nothing prints: repr, str and format give `***`, and only `reveal()` gives the text itself.

    It is no `str` on purpose: joined, dumped as JSON or added to a text it raises TypeError instead of leaking.
    It refuses to be serialised, so that it cannot reach a cache or another process by accident (OWASP ASVS 13.3).
    """

    __slots__ = ("__text",)

    def __init__(self, text: str) -> None:
        self.__text = text

    def reveal(self) -> str:
        """Give the text; whoever calls this answers for where it goes."""
        return self.__text

    def __repr__(self) -> str:
        return "***"

    def __format__(self, spec: str) -> str:
        return "***"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        # A plain comparison stops at the first difference, and its duration tells an attacker how far he got.
        return hmac.compare_digest(self.__text.encode(), other.__text.encode())

    def __hash__(self) -> int:
        return hash((Secret, self.__text))

    def __bool__(self) -> bool:
        return bool(self.__text)

    def __copy__(self) -> "Secret":
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> "Secret":
        return self

    def __getstate__(self) -> NoReturn:
        raise TypeError("a secret is not serialised")

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a secret is not serialised")


class Confidential(msgspec.Struct, frozen=True):
    """A value object that holds a secret or somebody's data as plain text: repr tells its name, no field."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}(***)"


class App(msgspec.Struct, frozen=True):
    """One mini program: its public appid, its AppSecret, and the name that operators see.

    `push_token` and `push_key` are the Token and the EncodingAESKey of its message push, where WeChat sends us any.
    """

    appid: str
    secret: Secret
    name: str
    push_token: Secret | None = None
    push_key: Secret | None = None

    def __str__(self) -> str:
        return self.appid if self.name == self.appid else f"{self.appid} ({self.name})"


class Retention(msgspec.Struct, frozen=True):
    """For how many days each kind of record is kept; what is older is deleted, addresses are masked."""

    logins: int = 190
    addresses: int = 190
    refused: int = 190
    figures: int = 400
    events: int = 400

    def __str__(self) -> str:
        return ", ".join(f"{name}={days}" for name, days in asdict(self).items())


# The Cybersecurity Law (art. 21) asks for six months of network logs, of which a login's row is one. How long addresses
# have to stay in it is for whoever runs the server to know; a month is what it takes to look into an attack.
_FEWEST_DAYS = {"logins": 184, "addresses": 30, "refused": 30, "figures": 62, "events": 62}
_MOST_DAYS = 3_660


def is_weak(secret: Secret) -> bool:
    """Say whether an AppSecret is short, a word from somebody's example, or a mere pattern.

    WeChat's secrets are 32 random hexadecimal digits, about 14 different ones; four or fewer never happen.
    """
    text = secret.reveal().lower()
    example = re.search(r"secret|change|example|your|placeholder|xxxx", text)
    return len(text) < 32 or bool(example) or len(set(text)) <= 4 or text[:16] == text[16:32]


def secret_in(path: Path) -> str:
    """Read a secret from a file of its own, of at most 4 KiB, without blanks around it; others may have no right to it.

    Raises WrongValue when it is missing, empty, no text, or open to others (mode beyond 0750).
    """
    try:
        with path.open("rb") as stream:
            mode = os.fstat(stream.fileno()).st_mode
            content = stream.read(4096)
        text = content.decode().strip()
    except OSError as problem:
        raise WrongValue(f"{path} cannot be read: {problem.strerror}") from None
    except UnicodeDecodeError:
        raise WrongValue(f"{path} is not a text in UTF-8") from None
    if mode & 0o027:
        raise WrongValue(f"{path} is open to others (mode {stat.S_IMODE(mode):04o}): chmod 600 {path}")
    if not text:
        raise WrongValue(f"{path} is empty")
    return text


class Kind(msgspec.Struct, Generic[T], frozen=True):
    """One kind of value: what it takes, in words, and the function that reads it from text or raises ValueError.

    `hides` says what a message may not quote: nothing, the password that a URL may carry, or everything.
    """

    takes: str
    read: Callable[[str], T]
    hides: Literal["nothing", "password", "everything"] = "nothing"
    is_list: bool = False

    def quoted(self, text: str) -> str:
        """Give a value the way a message may show it: short, on one line, and without a secret."""
        # 32 letters and digits are an AppSecret, also where somebody put it into the wrong setting.
        if self.hides == "everything" or re.fullmatch(r"[0-9A-Za-z]{32}", text):
            return "***"
        if self.hides == "password" and not text.startswith("sqlite"):
            # A URL that cannot be read may have its password anywhere after the scheme.
            found = re.match(r"[a-z][a-z0-9+]{0,19}://", text)
            return f'"{found.group()}***"' if found else "***"
        # An address with a login or a query in it was pasted from somewhere and may hold a secret there.
        return quoted(re.sub(r"(?s)^.*@", "***@", re.sub(r"(?s)\?.*", "?***", text)))


def quoted(text: str) -> str:
    """Put a text that came from outside between quotes: at most 80 characters, on one line, escapes visible."""
    return f'"{text:.80}"' if text.isprintable() else ascii(text[:80])


def whole(least: int, most: int, note: str = "") -> Kind[int]:
    """A whole number in plain ASCII digits."""

    def read(text: str) -> int:
        # int() alone would also take "1_000", "+5" and digits of other scripts.
        if not re.fullmatch(r"[0-9]{1,12}", text) or not least <= int(text) <= most:
            raise WrongValue
        return int(text)

    return Kind(f"a whole number from {least} to {most}{note}", read)


def seconds(least: int, most: int, *, zero_is_off: bool = False) -> Kind[int]:
    """A duration; it is read as seconds from `604800`, `45s`, `30m`, `12h` or `7d`."""

    def read(text: str) -> int:
        found = re.fullmatch(r"([0-9]{1,12})([smhd]?)", text)
        if not found:
            raise WrongValue
        amount = int(found[1]) * {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}[found[2]]
        if not (least <= amount <= most or (zero_is_off and amount == 0)):
            raise WrongValue
        return amount

    off = "0 (off) or " if zero_is_off else ""
    return Kind(f"{off}{least} to {most} seconds, also written like 45s, 30m, 12h or 7d", read)


def one_of(*words: str) -> Kind[str]:
    """One of some words, in any letter case; it is read in the spelling given here."""
    spelling = {word.lower(): word for word in words}

    def read(text: str) -> str:
        if text.lower() not in spelling:
            raise WrongValue
        return spelling[text.lower()]

    return Kind(" or ".join(words), read)


def matching(takes: str, pattern: str) -> Kind[str]:
    """A text that a regular expression describes as a whole."""

    def read(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise WrongValue
        return text

    return Kind(takes, read)


def secret(takes: str, pattern: str) -> Kind[Secret]:
    """A secret that a regular expression describes as a whole."""
    text_of = matching(takes, pattern).read
    return Kind(takes, lambda text: Secret(text_of(text)), hides="everything")


def _timezone(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_+\-]{1,32}(/[A-Za-z0-9_+\-]{1,32}){0,2}", text):
        raise WrongValue
    try:
        ZoneInfo(text)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise WrongValue from None
    return text


TIMEZONE = Kind("a time zone such as Asia/Shanghai or UTC", _timezone)


def optional(kind: Kind[T]) -> Kind[T | None]:
    """Another kind's value, or None where nothing is given."""
    return Kind(f"{kind.takes}, or nothing", lambda text: kind.read(text) if text else None, hides=kind.hides)


def list_of(kind: Kind[T], plural: str) -> Kind[tuple[T, ...]]:
    """Any number of values, between commas or as a TOML list."""

    def read(text: str) -> tuple[T, ...]:
        return tuple(kind.read(item.strip()) for item in text.split(",") if item.strip())

    return Kind(f"{plural}, between commas", read, is_list=True)


def _yes_or_no(text: str) -> bool:
    if text.lower() not in {"true", "1", "yes", "on", "false", "0", "no", "off"}:
        raise WrongValue
    return text.lower() in {"true", "1", "yes", "on"}


def _directory(text: str) -> Path:
    if not text or not text.isprintable():
        raise WrongValue
    return Path(text)


def _retention(text: str) -> Retention:
    found: dict[str, int] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, _, days = (each.strip() for each in part.partition("="))
        if name not in _FEWEST_DAYS or name in found or not re.fullmatch(r"[0-9]{1,5}", days):
            raise WrongValue
        found[name] = int(days)
        if not _FEWEST_DAYS[name] <= found[name] <= _MOST_DAYS:
            why = ": the Cybersecurity Law asks for six months of network logs" if name == "logins" else ""
            raise WrongValue(f"{name} takes {_FEWEST_DAYS[name]} to {_MOST_DAYS} days{why}")
    return replace(Retention(), **found)


RETENTION = Kind(
    "days by kind: logins (at least 184), addresses, refused (30), figures, events (62); others keep their default",
    _retention,
    is_list=True,
)
YES_OR_NO = Kind("true or false (also yes/no, on/off, 1/0)", _yes_or_no)
PORT = whole(0, 65535, " (0 is any free port)")
DIRECTORY = Kind("the path of a directory", _directory)
HOOK_SECRET = secret("32 to 200 printable characters without blanks", r"[!-~]{32,200}")
ROBOT_SECRET = secret("the secret that the robot's settings show", r"[!-~]{8,200}")
APPID = matching("wx and 16 lower-case letters or digits", r"wx[0-9a-z]{16}")
APP_SECRET = secret("the AppSecret of 32 characters from WeChat's console", r"[!-~]{1,128}")
PUSH_TOKEN = secret("the Token of 3 to 32 letters and digits", r"[0-9A-Za-z]{3,32}")
PUSH_KEY = secret("the EncodingAESKey of 43 letters and digits", r"[0-9A-Za-z]{43}")
APP_NAME = matching("a name of 1 to 64 printable characters", r"[^\x00-\x1f\x7f-\x9f\u2028\u2029]{1,64}")
