"""Every setting once: its name, kind, default and sentence, and how the command line, environment and file give it."""

import difflib
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeVar

import msgspec

import addresses
import values
from addresses import MailUrl, MysqlUrl, RedisUrl, SqliteUrl, is_loopback
from disagreements import Account, disagreements
from values import App, Kind, Retention, Secret, WrongValue

__all__ = ["KNOBS", "VERSION", "App", "Knob", "Loaded", "MailUrl", "MysqlUrl", "RedisUrl", "Retention", "Row", "Secret"]
__all__ += ["Settings", "SqliteUrl", "WrongSettings", "describe", "is_loopback", "load"]

VERSION = "0.1.0"
T = TypeVar("T")


class Knob(msgspec.Struct, frozen=True):
    """What is known about one setting: how it is called in each place, what it takes, its default and its sentences."""

    key: str
    kind: Kind[Any]
    default: str
    sentence: str
    sentence_zh: str

    @property
    def name(self) -> str:
        """The name in messages and documents: `SESSION_SECONDS`."""
        return self.key.upper()

    @property
    def variable(self) -> str:
        """The environment variable: `MENSHEN_SESSION_SECONDS`."""
        return f"MENSHEN_{self.name}"

    @property
    def option(self) -> str:
        """The command line option: `--session-seconds`."""
        return "--" + self.key.replace("_", "-")

    @property
    def secret(self) -> bool:
        """Whether the whole value is a secret, which the command line does not take."""
        return self.kind.hides == "everything"


def knob(kind: Kind[T], default: str, sentence: str, sentence_zh: str) -> T:
    """Declare one setting as a field of `Settings`; its default is read like any other value."""
    return field(default=kind.read(default), metadata={"knob": (kind, default, sentence, sentence_zh)})


DAY = 86_400
YEAR = 366 * DAY


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Every knob, one line each: attribute, type, kind, default, and the sentence in English and in Chinese."""

    # One search for a knob's name finds all there is to know, hence the long lines; `knob` only declares a field.
    # ruff: disable[E501, RUF009]
    # fmt: off
    address: str = knob(addresses.LISTENING_ADDRESS, "127.0.0.1", "Address that the server listens on.", "服务器监听的地址。")
    port: int = knob(values.PORT, "8000", "Port that the server listens on.", "服务器监听的端口。")
    admin_address: str = knob(addresses.LISTENING_ADDRESS, "127.0.0.1", "Address of the operators' own listener, if ADMIN_PORT is set.", "设置了 ADMIN_PORT 时，管理后台监听的地址。")
    admin_port: int | None = knob(values.optional(values.PORT), "", "Port for the dashboard and /metrics alone, which PORT then does not serve.", "管理后台与 /metrics 单独使用的端口；设置后 PORT 不再提供它们。")
    data_dir: Path = knob(values.DIRECTORY, "./data", "Directory of the embedded database and of the keys made at the first start.", "存放内置数据库和首次启动时生成的密钥的目录。")
    database: SqliteUrl | MysqlUrl = knob(addresses.DATABASE, "sqlite", "Where users are kept; `sqlite` is the file `menshen.db` in DATA_DIR.", "用户数据的存放位置；`sqlite` 即 DATA_DIR 中的 `menshen.db` 文件。")
    sessions: RedisUrl | Literal["database"] = knob(addresses.SESSIONS, "database", "Where sessions are kept: `database` is beside the users, or in a Redis.", "会话的存放位置：`database` 与用户数据放在一起，也可以放在 Redis 中。")
    appid: str | None = knob(values.optional(values.APPID), "", "The mini program's AppID; several mini programs stand as [[apps]] in the file.", "小程序的 AppID；多个小程序在文件中用 [[apps]] 列出。")
    appsecret: Secret | None = knob(values.optional(values.APP_SECRET), "", "The mini program's AppSecret; never taken from the command line.", "小程序的 AppSecret；不接受从命令行传入。")
    push_token: Secret | None = knob(values.optional(values.PUSH_TOKEN), "", "The Token of APPID's message push, as it stands in WeChat's console; without it no message is taken.", "APPID 的消息推送 Token，与微信后台中填写的一致；不设置则不接收消息。")
    push_key: Secret | None = knob(values.optional(values.PUSH_KEY), "", "The EncodingAESKey of APPID's message push; without it nobody's data is deleted at WeChat's word.", "APPID 的消息推送 EncodingAESKey；不设置则不会因微信的通知而删除数据。")
    wechat_base: str = knob(addresses.WECHAT_BASE, "https://api.weixin.qq.com", "Base URL of WeChat's API: a fall-back host of WeChat's, or a simulator on this machine.", "微信接口的基础地址：可换成微信的备用域名，或本机的模拟器。")
    session_seconds: int = knob(values.seconds(1, YEAR), "604800", "Lifetime of a session, counted from the login: 7 days.", "会话从登录起的有效期：7 天。")
    session_idle_seconds: int = knob(values.seconds(300, YEAR, zero_is_off=True), "0", "Ends a session that was not used for so long; use is noted at most once a minute.", "会话闲置这么久后结束；使用时间最多每分钟记录一次。")
    session_sliding: bool = knob(values.YES_OR_NO, "false", "Use extends a session's lifetime, at most to SESSION_MAX_SECONDS after the login.", "使用会延长会话有效期，最长到登录后 SESSION_MAX_SECONDS。")
    session_max_seconds: int = knob(values.seconds(1, YEAR), "2592000", "Longest life of a sliding session, counted from the login: 30 days.", "滑动会话从登录起的最长寿命：30 天。")
    sessions_per_user: int = knob(values.whole(0, 1000, " (0 is no limit)"), "0", "How many sessions one person may have at the same time.", "一个用户同时可拥有的会话数。")
    sessions_overflow: str = knob(values.one_of("oldest", "refuse"), "oldest", "What a login over SESSIONS_PER_USER does: end the oldest session, or be refused.", "登录超出 SESSIONS_PER_USER 时：结束最早的会话，或拒绝登录。")
    signup: str = knob(values.one_of("open", "closed"), "open", "Whether a person who logs in for the first time becomes a user, or is refused.", "首次登录的人成为新用户（open），还是被拒绝（closed）。")
    session_reasons: bool = knob(values.YES_OR_NO, "true", "Tells the holder of an ended token why it ended.", "告诉已失效令牌的持有者失效的原因。")
    api_status: str = knob(values.one_of("http", "wechat"), "http", "`wechat` sends 4xx answers of the mini program's API as HTTP 200 with the same body; 429 and 5xx stay.", "`wechat` 会把小程序接口的 4xx 响应以 HTTP 200 发送，内容不变；429 和 5xx 不变。")
    login_limit: int = knob(values.whole(0, 10_000_000, " (0 is no limit)"), "3000", "Logins per client address and minute; whole cities share one address.", "每个客户端地址每分钟的登录次数；整座城市可能共用一个地址。")
    unknown_token_limit: int = knob(values.whole(0, 10_000_000, " (0 is no limit)"), "600", "Unknown tokens per client address and minute; valid and ended tokens never count.", "每个客户端地址每分钟的未知令牌数；有效和已结束的令牌不计。")
    open_logins: int = knob(values.whole(1, 10_000), "500", "Logins that may wait for WeChat at the same time in one process; more are refused at once.", "单个进程中可同时等待微信响应的登录数；超出的立即拒绝。")
    content_check: bool = knob(values.YES_OR_NO, "false", "Has WeChat check nicknames and pictures before they are shown; needs PUBLIC_URL and every mini program's PUSH_KEY.", "昵称和头像先经微信内容安全检查再展示；需要设置 PUBLIC_URL 和每个小程序的 PUSH_KEY。")
    expose_openid: bool = knob(values.YES_OR_NO, "false", "Gives the openid and unionid to the mini program; the session_key is never given.", "向小程序返回 openid 和 unionid；session_key 从不返回。")
    compat: tuple[str, ...] = knob(values.list_of(values.one_of("tutorials", "wafer1", "wafer2"), "any of tutorials, wafer1, wafer2"), "", "Dialects of clients that exist, of tutorials and of Tencent's Wafer; each gives the openid to the phone.", "兼容已有客户端的协议（教程的写法、腾讯 Wafer）；每一种都会把 openid 返回给手机。")
    reset_key_on_revoke: bool = knob(values.YES_OR_NO, "false", "Makes the session_key of a revoked or blocked person worthless at WeChat too; a revocation can then not be undone.", "撤销会话或封禁用户时，同时在微信侧重置其 session_key；此后撤销无法恢复。")
    auto_upgrade: bool = knob(values.YES_OR_NO, "false", "Brings a MySQL schema up to date at start; otherwise `upgrade` does it.", "启动时自动升级 MySQL 表结构；否则由 `upgrade` 命令升级。")
    key_prefix: str = knob(values.matching("1 to 16 letters, digits, _ or -", r"[A-Za-z0-9_-]{1,16}"), "menshen", "Beginning of every key in Redis, so that several servers can share one.", "Redis 中每个键的前缀，便于多套服务共用一个 Redis。")
    trusted_proxies: tuple[IPv4Network | IPv6Network, ...] = knob(addresses.NETWORKS, "", "Networks of the proxies whose X-Forwarded-* headers count.", "可信代理的网段，只有它们的 X-Forwarded-* 头有效。")
    public_url: str | None = knob(values.optional(addresses.ORIGIN), "", "Address that people reach the server at; without it links hold only a path.", "用户访问本服务的地址；不设置时链接只含路径。")
    allowed_hosts: tuple[str, ...] = knob(addresses.HOSTS, "", "Host names that the server answers to, all when empty; others get 421.", "服务器应答的主机名，留空则全部应答；其他主机名返回 421。")
    workers: int = knob(values.whole(1, 64), "1", "Processes that serve requests.", "处理请求的进程数。")
    parser: str = knob(values.one_of("llhttp", "tornado"), "llhttp", "What reads requests: llhttp, or Tornado's own parser, with which checking a session takes more than twice the time.", "用什么解析请求：llhttp，或 Tornado 自带的解析器：后者校验会话所需时间多一倍以上。")
    simulator_port: int = knob(values.PORT, "8099", "Port of the WeChat simulator that `serve --dev` starts.", "`serve --dev` 启动的微信模拟器的端口。")
    retention_days: Retention = knob(values.RETENTION, "logins=190, addresses=190, refused=190, figures=400, events=400", "How long logins, their addresses and devices, refused logins, figures and what WeChat told are kept; the audit stays.", "登录记录、其中的地址和设备信息（仅清除）、被拒绝的登录、概览统计数据以及微信通知的保留天数；审计记录一直保留。")
    log_format: str = knob(values.one_of("text", "json"), "text", "`json` writes one JSON object per line, for machines.", "`json` 每行写一个 JSON 对象，便于机器读取。")
    log_level: str = knob(values.one_of("debug", "info", "warning", "error"), "info", "Least grave event that is logged; no level logs a secret, token, code or session key.", "记录日志的最低级别；任何级别都不记录密钥、令牌、code 和 session_key。")
    language: str = knob(values.one_of("zh_CN", "en"), "zh_CN", "Language of pages when the browser asks for neither Chinese nor English.", "浏览器既不要求中文也不要求英文时，页面使用的语言。")
    timezone: str = knob(values.TIMEZONE, "Asia/Shanghai", "Time zone of the dashboard's times, unless an operator has chosen one.", "管理后台显示时间所用的时区，操作员另行选择的除外。")
    require_totp: bool = knob(values.YES_OR_NO, "false", "Every operator has to set up a second factor before anything else.", "每位操作员都必须先设置两步验证才能进行其他操作。")
    insecure_signin: bool = knob(values.YES_OR_NO, "false", "Lets operators sign in over plain http from other machines, where anybody on the way can read the password.", "允许操作员从其他机器通过未加密的 http 登录，途中任何人都能看到密码。")
    forward_auth: bool = knob(values.YES_OR_NO, "false", "Answers `GET /auth` for a proxy that asks whether a request may pass; it takes no service key.", "开启 `GET /auth`，供反向代理询问请求能否放行；该地址不需要服务密钥。")
    key_limit: int = knob(values.whole(0, 10_000_000, " (0 is no limit)"), "60000", "Requests per service key and minute.", "每个服务密钥每分钟的请求次数。")
    webhook_url: Secret | None = knob(values.optional(addresses.HOOK_URL), "", "Where your back end is told what happened to people and sessions.", "把用户和会话的变化通知到您后端的地址。")
    webhook_secret: Secret | None = knob(values.optional(values.HOOK_SECRET), "", "What webhooks are signed with (HMAC-SHA256).", "webhook 的签名密钥（HMAC-SHA256）。")
    alarm_wecom_url: Secret | None = knob(values.optional(addresses.HOOK_URL), "", "Group robot of WeCom that is told of trouble.", "接收告警的企业微信群机器人地址。")
    alarm_dingtalk_url: Secret | None = knob(values.optional(addresses.HOOK_URL), "", "Group robot of DingTalk that is told of trouble.", "接收告警的钉钉群机器人地址。")
    alarm_dingtalk_secret: Secret | None = knob(values.optional(values.ROBOT_SECRET), "", "What messages to the DingTalk robot are signed with, if it wants that.", "钉钉机器人开启加签时的密钥。")
    alarm_feishu_url: Secret | None = knob(values.optional(addresses.HOOK_URL), "", "Group robot of Feishu that is told of trouble.", "接收告警的飞书群机器人地址。")
    alarm_feishu_secret: Secret | None = knob(values.optional(values.ROBOT_SECRET), "", "What messages to the Feishu robot are signed with, if it wants that.", "飞书机器人开启签名校验时的密钥。")
    alarm_mail_server: MailUrl | None = knob(values.optional(addresses.MAIL_SERVER), "", "Mail server that takes alarms, over TLS or STARTTLS.", "发送告警邮件的服务器，使用 TLS 或 STARTTLS。")
    alarm_mail_from: str | None = knob(values.optional(addresses.MAIL_ADDRESS), "", "Sender of alarm mails.", "告警邮件的发件人。")
    alarm_mail_to: tuple[str, ...] = knob(addresses.MAIL_ADDRESSES, "", "Who gets the mails about trouble.", "告警邮件的收件人。")
    apps: tuple[App, ...] = ()
    sources: Mapping[str, str] = field(default_factory=dict, repr=False, compare=False)  # of each key: file, environment
    # fmt: on
    # ruff: enable[E501, RUF009]

    def __post_init__(self) -> None:
        # The class is frozen for its readers; what one setting derives from another is filled in here, once.
        data_dir = self.data_dir.absolute()
        object.__setattr__(self, "data_dir", data_dir)
        if isinstance(self.database, SqliteUrl):
            object.__setattr__(self, "database", SqliteUrl(data_dir / self.database.path))
        if self.appid and self.appsecret and self.appid not in {app.appid for app in self.apps}:
            object.__setattr__(self, "apps", (self._own_app(self.appid, self.appsecret), *self.apps))

    def _own_app(self, appid: str, secret: Secret) -> App:
        return App(appid, secret, appid, self.push_token, self.push_key)


KNOBS: Mapping[str, Knob] = {
    each.name: Knob(each.name, *each.metadata["knob"]) for each in fields(Settings) if "knob" in each.metadata
}


class WrongSettings(Exception):
    """Some settings are wrong; each of `lines` names one, what it got and what it takes, never a secret's value.

    `warnings` are what the start would have warned of: often they are the cause, as a misspelt name is.
    """

    def __init__(self, lines: list[str], warnings: Iterable[str] = ()) -> None:
        super().__init__("\n".join(lines))
        self.lines = tuple(lines)
        self.warnings = tuple(warnings)


class Loaded(msgspec.Struct, frozen=True):
    """The settings, where each one came from, and what the start should warn of."""

    settings: Settings
    sources: Mapping[str, str]
    warnings: tuple[str, ...]

    def is_set(self, key: str) -> bool:
        """Say whether somebody gave the setting, as against its default."""
        return self.sources[key] != "default"


def load(argv_options: Mapping[str, str], environ: Mapping[str, str], file: Path | None = None) -> Loaded:
    """Read all settings; the command line wins over the environment, that over the file, that over the default.

    `argv_options` maps setting names, as `session_seconds` or `session-seconds`, to the texts given. `file` is the
    TOML file that must exist; without it `menshen.toml` in DATA_DIR is read if it is there.
    Raises WrongSettings with one line for every wrong setting, all at once.
    """
    return _Reading(argv_options, environ, file).loaded()


class Row(NamedTuple):
    """One setting for people: name, value with secrets as `***`, source, sentence."""

    name: str
    value: str
    source: str
    sentence: str


def describe(settings: Settings, language: str = "en") -> list[Row]:
    """Give every setting as people may see it; the sentence is Chinese when `language` begins with `zh`."""
    rows = [
        Row(
            each.name,
            shown(getattr(settings, each.key)),
            _named_source(settings.sources[each.key], language),
            each.sentence_zh if language.startswith("zh") else each.sentence,
        )
        for each in KNOBS.values()
    ]
    sentence = "所有小程序。" if language.startswith("zh") else "All mini programs."
    return [*rows, Row("APPS", shown(settings.apps), _named_source(settings.sources["apps"], language), sentence)]


_SOURCES_ZH = {"default": "默认值", "environment": "环境变量", "command line": "命令行", "file": "文件"}


def _named_source(source: str, language: str) -> str:
    """Where a value came from, or several places with commas, in the language of the sentence."""
    if not language.startswith("zh"):
        return source
    return "，".join(map(_source_zh, source.split(", ")))


def _source_zh(source: str) -> str:
    word = next(word for word in _SOURCES_ZH if source.startswith(word))
    return _SOURCES_ZH[word] + source.removeprefix(word)


def shown(value: object) -> str:
    """Give a setting's value as text, without secrets: these mask themselves."""
    if value is None:
        return ""
    if isinstance(value, tuple):
        return ", ".join(shown(item) for item in value)
    return str(value).lower() if isinstance(value, bool) else str(value)


APP_KINDS: Mapping[str, Kind[Any]] = {
    "appid": values.APPID,
    "secret": values.APP_SECRET,
    "name": values.APP_NAME,
    "push_token": values.PUSH_TOKEN,
    "push_key": values.PUSH_KEY,
}
_APP_NEEDS = {"appid", "secret"}
_APP_SECRETS = ("secret", "push_token", "push_key")


_ALIKE = 0.75  # of 1: three letters in four; `prot` is PORT, `host` is not


class _Reading:
    """One reading of all settings: gathers the good values, their sources, and a line for everything wrong."""

    def __init__(self, options: Mapping[str, str], environ: Mapping[str, str], file: Path | None) -> None:
        self.options = {name.replace("-", "_"): text for name, text in options.items()}
        self.environ = environ
        self.wrong: list[str] = []
        self.good: dict[str, Any] = {}
        self.sources: dict[str, str] = {}
        self.referenced: set[str] = set()
        self.listed: list[Account] = []
        self.file = file or self._data_dir() / "menshen.toml"
        self.table = self._toml(must_exist=file is not None)

    def loaded(self) -> Loaded:
        self._refuse_unknown("on the command line", self.options, KNOBS)
        self._refuse_unknown(f"in {self.file}", self.table, [*KNOBS, "apps"])
        for each in KNOBS.values():
            self._read_knob(each)
        self._read_apps()
        self.wrong += disagreements(self.good, self.listed)
        if self.wrong:
            raise WrongSettings(self.wrong, self._unknown_variables())
        warnings = (*self._unknown_variables(), *self._readable_secrets())
        return Loaded(Settings(**self.good, sources=self.sources), self.sources, warnings)

    def _data_dir(self) -> Path:
        """Where the default file lies; a wrong value is reported when the setting itself is read."""
        each = KNOBS["data_dir"]
        return Path(self.options.get(each.key) or self.environ.get(each.variable) or each.default)

    def _toml(self, *, must_exist: bool) -> dict[str, Any]:
        try:
            with self.file.open("rb") as stream:
                return tomllib.load(stream)
        except OSError as problem:
            if must_exist or not isinstance(problem, FileNotFoundError):
                self.wrong.append(f"{self.file}: cannot be read: {problem.strerror}")
        except tomllib.TOMLDecodeError as problem:
            self.wrong.append(f"{self.file}: is not TOML: {problem}")
        except ValueError:
            self.wrong.append(f"{self.file}: is not TOML in UTF-8")
        return {}

    def _refuse_unknown(self, where: str, given: Iterable[str], known: Iterable[str]) -> None:
        self.wrong += [_no_setting(key, where, known) for key in given if key not in known]

    def _read_knob(self, each: Knob) -> None:
        raw, source = self._given(each)
        self.sources[each.key] = source
        if each.key not in self.options or not each.secret:
            self._read(self.good, each.key, f"{each.name} ({source})", each.kind, raw)
        if each.key in self.options and (each.secret or _holds_secret(self.good.get(each.key))):
            # Every user of the machine can read a running command's options, and the shell keeps them in its history.
            self.wrong.append(f"{each.name} ({source}): no secret on the command line; use {each.variable} or the file")

    def _given(self, each: Knob) -> tuple[object, str]:
        if each.key in self.options:
            return self.options[each.key], f"command line {each.option}"
        if each.variable in self.environ:
            return self.environ[each.variable], f"environment {each.variable}"
        if each.key in self.table:
            return self.table[each.key], f"file {self.file}"
        return each.default, "default"

    def _read(self, into: dict[str, Any], key: str, label: str, kind: Kind[Any], raw: object) -> None:
        try:
            into[key] = kind.read(self._text(kind, raw))
        except ValueError as problem:
            # Only our own refusals are quoted: the library's texts may repeat the value.
            reason = f"; {problem}" if isinstance(problem, WrongValue) and str(problem) else ""
            self.wrong.append(f"{label}: got {_got(kind, raw)}, takes {kind.takes}{reason}")

    def _text(self, kind: Kind[Any], raw: object) -> str:
        match raw:
            case bool():
                return str(raw).lower()
            case str() | int():
                return str(raw).strip()
            case list() if kind.is_list and all(isinstance(item, str) for item in raw):
                return ",".join(raw)
            case dict() if kind.hides != "nothing":
                return self._referenced(raw)
        raise WrongValue

    def _referenced(self, raw: Mapping[str, object]) -> str:
        """Give the secret that the file names instead of holding it."""
        match list(raw.items()):
            case [("env", str(name))]:
                self.referenced.add(name)
                if name not in self.environ:
                    raise WrongValue(f"the environment variable {values.quoted(name)} is not set")
                return self.environ[name].strip()
            case [("file", str(path))]:
                return values.secret_in(self.file.parent / path)
            case [("credential", str(name))]:
                if "CREDENTIALS_DIRECTORY" not in self.environ:
                    raise WrongValue("systemd gave this process no credentials (LoadCredential=)")
                return values.secret_in(Path(self.environ["CREDENTIALS_DIRECTORY"]) / Path(name).name)
        raise WrongValue(
            'a secret may stand elsewhere as { env = "NAME" }, { file = "path" } or { credential = "NAME" }'
        )

    def _read_apps(self) -> None:
        entries = self.table.get("apps", [])
        given = [self.sources["appid"]] * bool(self.good.get("appid")) + [f"file {self.file}"] * bool(entries)
        self.sources["apps"] = ", ".join(dict.fromkeys(given)) or "default"
        if isinstance(entries, list) and all(isinstance(entry, dict) for entry in entries):
            apps = [
                self._app(f"[[apps]] {number} (file {self.file})", entry) for number, entry in enumerate(entries, 1)
            ]
            self.good["apps"] = tuple(app for app in apps if app)
        else:
            self.wrong.append(f"APPS (file {self.file}): takes tables [[apps]] of appid, secret and name")

    def _app(self, label: str, entry: dict[str, object]) -> App | None:
        self._refuse_unknown(f"in {label}", entry, APP_KINDS)
        parts: dict[str, Any] = {}
        for key, kind in APP_KINDS.items():
            if key in entry or key in _APP_NEEDS:
                self._read(parts, key, f"{label} {key}", kind, entry.get(key, ""))
        if "push_key" in entry and "push_token" not in entry:
            self.wrong.append(f"{label} push_token: is missing; push_key needs it")
        self.listed.append(Account(f"[[apps]] {len(self.listed) + 1} secret", parts.get("appid"), parts.get("secret")))
        readable = parts.keys() >= entry.keys() & APP_KINDS.keys() | _APP_NEEDS
        return App(**{"name": parts["appid"], **parts}) if readable else None

    def _unknown_variables(self) -> Iterator[str]:
        known = {each.variable for each in KNOBS.values()}
        for name in sorted(self.environ):
            if name.startswith("MENSHEN_") and name not in known | self.referenced:
                yield _no_setting(name, "in the environment", known) + "; it is ignored"

    def _readable_secrets(self) -> Iterator[str]:
        secrets = [self.table.get(each.key) for each in KNOBS.values() if each.secret]
        secrets += [entry.get(key) for entry in self.table.get("apps", []) for key in _APP_SECRETS]
        urls = [
            str(self.table.get(key))
            for key in ("database", "sessions", "alarm_mail_server")
            if isinstance(self.table.get(key), str)
        ]
        literal = any(isinstance(secret, str) for secret in secrets) or any("@" in url for url in urls)
        if literal and self.file.stat().st_mode & 0o007:
            yield f"{self.file} holds a secret and others may read it: chmod 600 {self.file}"


def _no_setting(key: str, where: str, known: Iterable[str]) -> str:
    """Say so, and what may have been meant; what all variables have in common does not make two of them alike."""
    names = {name.removeprefix("MENSHEN_").lower(): name for name in known}
    close = difflib.get_close_matches(key.removeprefix("MENSHEN_").lower(), names, n=1, cutoff=_ALIKE)
    return f"{values.quoted(key)} {where} is no setting" + (f"; did you mean {names[close[0]]}?" if close else "")


def _holds_secret(value: object) -> bool:
    return bool(value if isinstance(value, Secret) else getattr(value, "password", None))


def _got(kind: Kind[Any], raw: object) -> str:
    if isinstance(raw, list | dict):
        return "a list" if isinstance(raw, list) else "a table"
    return kind.quoted(str(raw)) if raw != "" else "nothing"
