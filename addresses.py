"""Addresses in settings: hosts, networks, the stores and all else that this server speaks to, and how they are read."""

import re
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from pathlib import Path
from typing import Literal
from urllib.parse import SplitResult, quote, unquote, urlsplit

import msgspec

from values import Kind, Secret, WrongValue, list_of, matching


class SqliteUrl(msgspec.Struct, frozen=True):
    """The embedded database; a relative path lies inside DATA_DIR."""

    path: Path

    def __str__(self) -> str:
        return f"sqlite://{quote(str(self.path))}"


class MysqlUrl(msgspec.Struct, frozen=True):
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


class RedisUrl(msgspec.Struct, frozen=True):
    """A Redis; all parts are decoded, no user and no password are empty, `str()` masks the password.

    With `sentinels`, host and port of each, the Redis is whichever of them calls the master of that name; with `nodes`
    it is a Redis Cluster, of which they are some. `host` and `port` are then those of the first.
    """

    host: str
    port: int
    user: str
    password: Secret
    db: int
    tls: bool
    sentinels: tuple[tuple[str, int], ...] = ()
    master: str = ""
    nodes: tuple[tuple[str, int], ...] = ()

    @property
    def address(self) -> str:
        """Host and port, for messages; of all Sentinels, with the name of the master behind them, or of all nodes."""
        if self.nodes:
            return ",".join(_address(*each) for each in self.nodes)
        if self.sentinels:
            return ",".join(_address(*each) for each in self.sentinels) + f"/{self.master}"
        return _address(self.host, self.port)

    def __str__(self) -> str:
        kind = "+sentinel" if self.sentinels else "+cluster" if self.nodes else ""
        scheme = ("rediss" if self.tls else "redis") + kind
        return f"{scheme}://{_login(self.user, self.password)}{self.address}/{self.db}"


class MailUrl(msgspec.Struct, frozen=True):
    """A mail server; all parts are decoded, no user and no password are empty, `str()` masks the password."""

    host: str
    port: int
    user: str
    password: Secret
    tls: bool  # from the first byte; otherwise STARTTLS, but for a server on this machine

    def __str__(self) -> str:
        return f"{'smtps' if self.tls else 'smtp'}://{_login(self.user, self.password)}{_address(self.host, self.port)}"


def _login(user: str, password: Secret) -> str:
    masked = quote(user, safe="") + (f":{password}" if password else "")
    return f"{masked}@" if masked else ""


def _address(host: str, port: int | None) -> str:
    bracketed = f"[{host}]" if ":" in host else host
    return bracketed if port is None else f"{bracketed}:{port}"


def is_loopback(host: str) -> bool:
    """Say whether a host, given as name or address, can only be this machine."""
    try:
        return host.lower() == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _listening_address(text: str) -> str:
    return text if text == "localhost" else str(ip_address(text))


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
        return _cluster(text)
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
    name, _, db = path.partition("/")
    if not re.fullmatch(r"[0-9A-Za-z._-]{1,64}", name) or not re.fullmatch(r"[0-9]{0,4}", db):
        raise WrongValue
    login, sentinels = _several(scheme, where, 26379)
    return RedisUrl(*sentinels[0], *login, int(db or 0), scheme.startswith("rediss"), sentinels, name)


def _cluster(text: str) -> RedisUrl:
    scheme, _, rest = text.partition("://")
    where, _, path = rest.partition("/")
    if path not in {"", "0"}:  # a cluster has no other database
        raise WrongValue
    login, nodes = _several(scheme, where, 6379)
    return RedisUrl(*nodes[0], *login, 0, scheme.startswith("rediss"), nodes=nodes)


def _several(scheme: str, where: str, port: int) -> tuple[tuple[str, Secret], tuple[tuple[str, int], ...]]:
    """The login before several hosts, and host and port of each."""
    login, at, hosts = where.rpartition("@")
    whose = _url(f"{scheme}://{login}{at}{hosts.partition(',')[0]}")
    each = [_url(f"{scheme}://{host}") for host in hosts.split(",")]
    found = tuple((_host(one.hostname or ""), one.port or port) for one in each)
    return (_decoded(whose.username), Secret(_decoded(whose.password))), found


def _decoded(part: str | None) -> str:
    return unquote(part or "", errors="strict")


LISTENING_ADDRESS = Kind("an IP address of this machine, or localhost", _listening_address)
HOSTS = list_of(Kind("a host name", _host), "host names without port")
NETWORKS = list_of(Kind("a network", _network), "networks like 10.0.0.0/8")
ORIGIN = Kind("a URL like https://login.example.com, without path", _origin)
WECHAT_BASE = Kind("an https URL without path; http only to a loopback address", _wechat_base)
HOOK_URL = Kind("an https URL; http only to a loopback address", _hook_url, hides="everything")
MAIL_SERVER = Kind(
    "smtps://[user:password@]host:465, or smtp:// with STARTTLS (port 587)", _mail_server, hides="password"
)
MAIL_ADDRESS = matching("an address like menshen@example.com", r"[A-Za-z0-9_.+-]{1,64}@[A-Za-z0-9.-]{1,190}")
MAIL_ADDRESSES = list_of(MAIL_ADDRESS, "addresses like ops@example.com")
DATABASE = Kind("sqlite, sqlite:///whole/path, or mysql://user:password@host:3306/name", _database, hides="password")
SESSIONS = Kind(
    "database, redis://[user:password@]host:6379/0, redis+sentinel://[user:password@]host1:26379,host2:26379/master, "
    "or redis+cluster://[user:password@]host1:6379,host2:6379 (rediss with TLS)",
    _sessions,
    hides="password",
)
