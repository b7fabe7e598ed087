"""What settings are made of: secrets that never print, addresses of the stores, and how each kind is read."""

import hmac
import os
import re
import stat
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from pathlib import Path
from typing import Any, Generic, Literal, NoReturn, TypeVar
from urllib.parse import SplitResult, quote, unquote, urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

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


@dataclass(frozen=True, slots=True)
class App:
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


@dataclass(frozen=True, slots=True)
class SqliteUrl:
    """The embedded database; a relative path lies inside DATA_DIR."""

    path: Path

    def __str__(self) -> str:
        return f"sqlite://{quote(str(self.path))}"


@dataclass(frozen=True, slots=True)
class MysqlUrl:
    """A MySQL database; all parts are decoded, `str()` masks the password."""

    user: str
    password: Secret
    host: str
    port: int
    name: str

    @property
    def address(self) -> str:
        """Host and port, for messages."""
        return _address(self.host, self.port)

    def __str__(self) -> str:
        return f"mysql://{_login(self.user, self.password)}{self.address}/{self.name}"


@dataclass(frozen=True, slots=True)
class RedisUrl:
    """A Redis; all parts are decoded, no user and no password are empty, `str()` masks the password.

    With `sentinels`, host and port of each, the Redis is whichever of them calls the master of that name; `host` and
    `port` are then those of the first Sentinel.
    """

    host: str
    port: int
    user: str
    password: Secret
    db: int
    tls: bool
    sentinels: tuple[tuple[str, int], ...] = ()
    master: str = ""

    @property
    def address(self) -> str:
        """Host and port, for messages; those of all Sentinels and the name of the master behind them."""
        if self.sentinels:
            return ",".join(_address(*each) for each in self.sentinels) + f"/{self.master}"
        return _address(self.host, self.port)

    def __str__(self) -> str:
        scheme = ("rediss" if self.tls else "redis") + ("+sentinel" if self.sentinels else "")
        return f"{scheme}://{_login(self.user, self.password)}{self.address}/{self.db}"


@dataclass(frozen=True, slots=True)
class MailUrl:
    """A mail server; all parts are decoded, no user and no password are empty, `str()` masks the password."""

    host: str
    port: int
    user: str
    password: Secret
    tls: bool  # from the first byte; otherwise STARTTLS, but for a server on this machine

    def __str__(self) -> str:
        return f"{'smtps' if self.tls else 'smtp'}://{_login(self.user, self.password)}{_address(self.host, self.port)}"


@dataclass(frozen=True, slots=True)
class Retention:
    """For how many days each kind of record is kept; what is older is deleted, addresses are masked."""

    logins: int = 190
    addresses: int = 190
    refused: int = 190
    figures: int = 400
    events: int = 400

    def __str__(self) -> str:
        return ", ".join(f"{each.name}={getattr(self, each.name)}" for each in fields(self))


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


def _login(user: str, password: Secret) -> str:
    masked = quote(user, safe="") + (f":{password}" if password else "")
    return f"{masked}@" if masked else ""


def _address(host: str, port: int | None) -> str:
    bracketed = f"[{host}]" if ":" in host else host
    return bracketed if port is None else f"{bracketed}:{port}"


@dataclass(frozen=True, slots=True)
class Kind(Generic[T]):
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


def is_loopback(host: str) -> bool:
    """Say whether a host, given as name or address, can only be this machine."""
    try:
        return host.lower() == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _yes_or_no(text: str) -> bool:
    if text.lower() not in {"true", "1", "yes", "on", "false", "0", "no", "off"}:
        raise WrongValue
    return text.lower() in {"true", "1", "yes", "on"}


def _listening_address(text: str) -> str:
    return text if text == "localhost" else str(ip_address(text))


def _directory(text: str) -> Path:
    if not text or not text.isprintable():
        raise WrongValue
    return Path(text)


def _host(text: str) -> str:
    if ":" in text:
        return str(ip_address(text.removeprefix("[").removesuffix("]")))
    if not re.fullmatch(r"[a-z0-9_]([a-z0-9_.-]{0,251}[a-z0-9_])?", text.lower()) or ".." in text:
        raise WrongValue
    return text.lower()


def _network(text: str) -> IPv4Network | IPv6Network:
    network = ip_network(text)
    if network.prefixlen == 0:
        # Whoever is trusted may name the client's address; trusting everybody would switch every limit off.
        raise WrongValue("a network that holds every address would let every caller name its own")
    return network


def _url(text: str) -> SplitResult:
    """Split a URL of scheme, login, host, port and path; a query, a fragment, blanks and odd hosts are refused."""
    if not text.isprintable() or re.search(r"[\s\\?#]", text):
        raise WrongValue("blanks and ? # \\ do not belong in it, in a password they are percent-encoded")
    parts = urlsplit(text)
    _host(parts.hostname or "")
    if parts.port == 0:
        raise WrongValue
    return parts


def _origin(text: str) -> str:
    parts = _url(text)
    if parts.scheme not in {"http", "https"} or "@" in parts.netloc or parts.path not in {"", "/"}:
        raise WrongValue("only scheme, host and port belong here")
    return f"{parts.scheme}://{_address(_host(parts.hostname or ''), parts.port)}"


def _wechat_base(text: str) -> str:
    base = _origin(text)
    if base.startswith("http:") and not is_loopback(urlsplit(base).hostname or ""):
        raise WrongValue("AppSecrets travel in these URLs, so plain http would show them to the network")
    return base


def _hook_url(text: str) -> Secret:
    """A whole URL, query and all, kept as a secret: those of robots hold the key to their group."""
    parts = urlsplit(text)
    if not re.fullmatch(r"[!-~]{1,1000}", text) or "@" in parts.netloc or "#" in text or "\\" in text:
        raise WrongValue
    _host(parts.hostname or "")
    if parts.port == 0 or parts.scheme not in {"http", "https"}:
        raise WrongValue
    if parts.scheme == "http" and not is_loopback(parts.hostname or ""):
        raise WrongValue("plain http would show to the network what is sent there")
    return Secret(text)


def _mail_server(text: str) -> MailUrl:
    parts = _url(text)
    if parts.scheme not in {"smtp", "smtps"} or parts.path not in {"", "/"}:
        raise WrongValue
    tls = parts.scheme == "smtps"
    port = parts.port or (465 if tls else 587)
    login = _decoded(parts.username), Secret(_decoded(parts.password))
    return MailUrl(_host(parts.hostname or ""), port, *login, tls=tls)


def _printable(least: int) -> Callable[[str], Secret]:
    def read(text: str) -> Secret:
        if not re.fullmatch(rf"[!-~]{{{least},200}}", text):
            raise WrongValue
        return Secret(text)

    return read


def _database(text: str) -> SqliteUrl | MysqlUrl:
    if text.startswith("mysql://"):
        return _mysql(text)
    return SqliteUrl(Path("menshen.db") if text == "sqlite" else _sqlite_path(text))


def _sqlite_path(text: str) -> Path:
    if not text.startswith("sqlite:///") or not text.isprintable() or re.search(r"[?#]", text):
        raise WrongValue
    path = Path("/" + unquote(text.removeprefix("sqlite:///"), errors="strict").lstrip("/"))
    # Some libraries read sqlite:///name.db as relative; here that would be a file in the root directory.
    if len(path.parts) < 3 or {".", ".."} & set(text.split("/")):
        raise WrongValue("the path is the whole path, from the root on")
    return path


def _mysql(text: str) -> MysqlUrl:
    parts = _url(text)
    name = _decoded(parts.path.removeprefix("/"))
    user = _decoded(parts.username)
    if not user or not re.fullmatch(r"[0-9A-Za-z_$-]{1,64}", name):
        raise WrongValue
    return MysqlUrl(user, Secret(_decoded(parts.password)), _host(parts.hostname or ""), parts.port or 3306, name)


def _sessions(text: str) -> RedisUrl | Literal["database"]:
    if text == "database":
        return "database"
    if text.startswith(("redis+cluster://", "rediss+cluster://")):
        raise WrongValue("Redis Cluster comes with a later version; redis+sentinel:// takes a master with copies")
    if text.startswith(("redis+sentinel://", "rediss+sentinel://")):
        return _sentinels(text)
    parts = _url(text)
    db = parts.path.removeprefix("/") or "0"
    if parts.scheme not in {"redis", "rediss"} or not re.fullmatch(r"[0-9]{1,4}", db):
        raise WrongValue
    login = _decoded(parts.username), Secret(_decoded(parts.password))
    return RedisUrl(_host(parts.hostname or ""), parts.port or 6379, *login, int(db), tls=parts.scheme == "rediss")


def _sentinels(text: str) -> RedisUrl:
    scheme, _, rest = text.partition("://")
    where, _, path = rest.partition("/")
    login, at, hosts = where.rpartition("@")
    name, _, db = path.partition("/")
    if not re.fullmatch(r"[0-9A-Za-z._-]{1,64}", name) or not re.fullmatch(r"[0-9]{0,4}", db):
        raise WrongValue
    nodes = [_url(f"{scheme}://{each}") for each in hosts.split(",")]
    whose = _url(f"{scheme}://{login}{at}{hosts.partition(',')[0]}")
    sentinels = tuple((_host(each.hostname or ""), each.port or 26379) for each in nodes)
    user, password = _decoded(whose.username), Secret(_decoded(whose.password))
    return RedisUrl(*sentinels[0], user, password, int(db or 0), scheme.startswith("rediss"), sentinels, name)


def _decoded(part: str | None) -> str:
    return unquote(part or "", errors="strict")


def _app_secret(text: str) -> Secret:
    if not re.fullmatch(r"[!-~]{1,128}", text):
        raise WrongValue
    return Secret(text)


def _secret_like(pattern: str) -> Callable[[str], Secret]:
    def read(text: str) -> Secret:
        if not re.fullmatch(pattern, text):
            raise WrongValue
        return Secret(text)

    return read


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
LISTENING_ADDRESS = Kind("an IP address of this machine, or localhost", _listening_address)
PORT = whole(0, 65535, " (0 is any free port)")
DIRECTORY = Kind("the path of a directory", _directory)
HOSTS = list_of(Kind("a host name", _host), "host names without port")
NETWORKS = list_of(Kind("a network", _network), "networks like 10.0.0.0/8")
ORIGIN = Kind("a URL like https://login.example.com, without path", _origin)
WECHAT_BASE = Kind("an https URL without path; http only to a loopback address", _wechat_base)
HOOK_URL = Kind("an https URL; http only to a loopback address", _hook_url, hides="everything")
HOOK_SECRET = Kind("32 to 200 printable characters without blanks", _printable(32), hides="everything")
ROBOT_SECRET = Kind("the secret that the robot's settings show", _printable(8), hides="everything")
MAIL_SERVER = Kind(
    "smtps://[user:password@]host:465, or smtp:// with STARTTLS (port 587)", _mail_server, hides="password"
)
MAIL_ADDRESS = matching("an address like menshen@example.com", r"[A-Za-z0-9_.+-]{1,64}@[A-Za-z0-9.-]{1,190}")
MAIL_ADDRESSES = list_of(MAIL_ADDRESS, "addresses like ops@example.com")
DATABASE = Kind("sqlite, sqlite:///whole/path, or mysql://user:password@host:3306/name", _database, hides="password")
SESSIONS = Kind(
    "database, redis://[user:password@]host:6379/0, or redis+sentinel://[user:password@]host1:26379,host2:26379/master"
    " (rediss with TLS)",
    _sessions,
    hides="password",
)
APPID = matching("wx and 16 lower-case letters or digits", r"wx[0-9a-z]{16}")
APP_SECRET = Kind("the AppSecret of 32 characters from WeChat's console", _app_secret, hides="everything")
PUSH_TOKEN = Kind("the Token of 3 to 32 letters and digits", _secret_like(r"[0-9A-Za-z]{3,32}"), hides="everything")
PUSH_KEY = Kind("the EncodingAESKey of 43 letters and digits", _secret_like(r"[0-9A-Za-z]{43}"), hides="everything")
APP_NAME = matching("a name of 1 to 64 printable characters", r"[^\x00-\x1f\x7f-\x9f\u2028\u2029]{1,64}")
