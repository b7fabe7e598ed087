"""What an operator may write into the settings, what comes of it, and what he is told when it is wrong."""

import copy
import dataclasses
import json
import logging
import os
import pickle
import re
from collections.abc import Callable, Mapping
from ipaddress import ip_network
from pathlib import Path

import pytest

import settings
from settings import (
    KNOBS,
    App,
    Knob,
    Loaded,
    MysqlUrl,
    RedisUrl,
    Retention,
    Secret,
    Settings,
    SqliteUrl,
    WrongSettings,
    describe,
    settings_page,
)

pytestmark = pytest.mark.quick

APPID, OTHER_APPID = "wx1234567890abcdef", "wxfedcba0987654321"
APP_SECRET, OTHER_SECRET = "3f1d9a7be2c84056a1b7d92e6f03c58d", "b04e7c19d63a8f25e9147c0bd8a36f52"
PASSWORD = "pa55-w0rd-of-the-store"
SIMULATOR = "http://127.0.0.1:8099"

# One value per setting that is good and is not its default.
GOOD = {
    "address": "0.0.0.0",  # noqa: S104 - read as a text, nothing listens there
    "port": "0",
    "admin_address": "::1",
    "admin_port": "8001",
    "data_dir": "/srv/menshen",
    "database": "mysql://menshen@127.0.0.1/users",
    "sessions": "redis://127.0.0.1/2",
    "appid": APPID,
    "appsecret": APP_SECRET,
    "wechat_base": "https://api2.weixin.qq.com",
    "session_seconds": "12h",
    "session_idle_seconds": "30m",
    "session_sliding": "true",
    "session_max_seconds": "60d",
    "sessions_per_user": "3",
    "sessions_overflow": "refuse",
    "signup": "closed",
    "session_reasons": "false",
    "api_status": "wechat",
    "login_limit": "0",
    "push_token": "AAAAA",
    "push_key": "0123456789abcdefghijklmnopqrstuvwxyzABCDEFG",
    "unknown_token_limit": "60",
    "open_logins": "20",
    "compat": "tutorials,wafer2",
    "content_check": "true",
    "expose_openid": "true",
    "reset_key_on_revoke": "true",
    "auto_upgrade": "true",
    "timezone": "Europe/Berlin",
    "require_totp": "true",
    "insecure_signin": "true",
    "forward_auth": "true",
    "key_limit": "100",
    "webhook_url": "https://shop.example.com/hooks/menshen?from=login",
    "webhook_secret": "0f1e2d3c4b5a69788796a5b4c3d2e1f0",
    "alarm_wecom_url": "https://qyapi.weixin.qq.com/cgi-bin/webhook/send?key=0f1e2d3c",
    "alarm_dingtalk_url": "https://oapi.dingtalk.com/robot/send?access_token=0f1e2d3c",
    "alarm_dingtalk_secret": "SEC0f1e2d3c4b5a",
    "alarm_feishu_url": "https://open.feishu.cn/open-apis/bot/v2/hook/0f1e2d3c",
    "alarm_feishu_secret": "0f1e2d3c4b5a",
    "alarm_mail_server": "smtps://mail.example.com",
    "alarm_mail_from": "menshen@example.com",
    "alarm_mail_to": "ops@example.com,mei@example.com",
    "key_prefix": "shop_2",
    "trusted_proxies": "10.0.0.0/8, 127.0.0.1/32",
    "public_url": "https://login.example.com",
    "allowed_hosts": "login.example.com, localhost",
    "workers": "2",
    "parser": "llhttp",
    "simulator_port": "9099",
    "retention_days": "logins=400, addresses=30",
    "log_format": "json",
    "log_level": "debug",
    "language": "en",
}
# A setting that contradicts another one needs its partner.
PARTNER = {
    "appid": {"appsecret": APP_SECRET},
    "appsecret": {"appid": APPID},
    "push_key": {"push_token": "AAAAA"},
    "content_check": {"public_url": GOOD["public_url"]},
    "webhook_url": {"webhook_secret": GOOD["webhook_secret"]},
    "webhook_secret": {"webhook_url": GOOD["webhook_url"]},
    "alarm_dingtalk_secret": {"alarm_dingtalk_url": GOOD["alarm_dingtalk_url"]},
    "alarm_feishu_secret": {"alarm_feishu_url": GOOD["alarm_feishu_url"]},
    "alarm_mail_server": {"alarm_mail_from": "a@example.com", "alarm_mail_to": "b@example.com"},
    "alarm_mail_to": {"alarm_mail_server": "smtps://mail.example.com", "alarm_mail_from": "a@example.com"},
}


@pytest.fixture
def read(tmp_path: Path) -> Callable[..., Loaded]:
    """Reads settings as the server does: a TOML text (in a file only its owner may read), an environment, options."""

    def reading(toml: str = "", environ: Mapping[str, str] | None = None, **options: str) -> Loaded:
        file = tmp_path / "given.toml"
        file.touch(mode=0o600)
        file.write_text(toml, encoding="utf-8")
        return settings.load(options, environ or {}, file)

    return reading


def refusal(reading: Callable[[], object]) -> str:
    with pytest.raises(WrongSettings) as caught:
        reading()
    return str(caught.value)


def variables(**given: str) -> dict[str, str]:
    return {f"MENSHEN_{key.upper()}": text for key, text in given.items()}


def private(path: Path, text: str, mode: int = 0o600) -> Path:
    path.write_text(text, encoding="utf-8")
    path.chmod(mode)
    return path


# --- secrets -------------------------------------------------------------------------------------------------------


def test_a_secret_prints_as_stars_wherever_it_is_put(caplog: pytest.LogCaptureFixture) -> None:
    secret = Secret(APP_SECRET)
    app = App(APPID, secret, "The shop")
    logging.getLogger("shop").warning("%s %r %s", secret, app, {"secret": secret})
    texts = [repr(secret), str(secret), f"{secret} {secret!r} {secret:>60}", f"{app}", repr(app), caplog.text]
    texts += [repr(dataclasses.asdict(app)), repr(Settings(appid=APPID, appsecret=secret)), repr([secret])]
    assert all(APP_SECRET not in text for text in texts)
    assert str(secret) == "***"
    assert secret.reveal() == APP_SECRET


@pytest.mark.parametrize("serialise", [pickle.dumps, json.dumps, Secret.__getstate__, "token=".__add__])
def test_a_secret_refuses_to_be_serialised(serialise: Callable[[object], object]) -> None:
    with pytest.raises(TypeError) as caught:
        serialise(Secret(APP_SECRET))
    assert APP_SECRET not in str(caught.value)


def test_a_secret_can_be_compared_and_copied_without_being_shown() -> None:
    secret = Secret(APP_SECRET)
    assert secret == Secret(APP_SECRET)
    assert secret != Secret(OTHER_SECRET)
    assert secret != APP_SECRET
    assert len({secret, Secret(APP_SECRET)}) == 1
    assert copy.deepcopy(secret).reveal() == copy.copy(secret).reveal() == APP_SECRET
    assert not Secret("")


def test_a_secret_holds_its_text_in_no_public_attribute() -> None:
    secret = Secret(APP_SECRET)
    assert not hasattr(secret, "__dict__")
    assert not [name for name in dir(secret) if not name.startswith("_") and name != "reveal"]


# --- where a setting may stand -------------------------------------------------------------------------------------


def test_every_knob_has_a_good_value_in_these_tests() -> None:
    assert GOOD.keys() == KNOBS.keys()


@pytest.mark.parametrize("knob", KNOBS.values(), ids=KNOBS)
@pytest.mark.parametrize("place", ["command line", "environment", "file"])
def test_every_knob_can_be_given_in_every_place(read: Callable[..., Loaded], knob: Knob, place: str) -> None:
    if place == "command line" and knob.secret:
        assert "no secret on the command line" in refusal(lambda: read(**{knob.key: GOOD[knob.key]}))
        return
    given = {knob.key: GOOD[knob.key]}
    environ = variables(**PARTNER.get(knob.key, {}))
    if place == "command line":
        loaded = read(environ=environ, **given)
    elif place == "environment":
        loaded = read(environ=environ | variables(**given))
    else:
        loaded = read(f"{knob.key} = {json.dumps(GOOD[knob.key])}", environ)
    assert loaded.sources[knob.key].startswith(place)
    assert loaded.is_set(knob.key)
    assert getattr(loaded.settings, knob.key) == knob.kind.read(GOOD[knob.key])
    assert getattr(loaded.settings, knob.key) != getattr(Settings(), knob.key)


def test_the_command_line_wins_over_the_environment_and_that_over_the_file(read: Callable[..., Loaded]) -> None:
    toml, environ = "port = 1001", {"MENSHEN_PORT": "1002"}
    assert read(toml, environ, port="1003").settings.port == 1003
    assert read(toml, environ).settings.port == 1002
    assert read(toml).settings.port == 1001
    assert read().settings.port == 8000


def test_an_option_may_be_named_with_dashes(read: Callable[..., Loaded]) -> None:
    assert read(**{"session-seconds": "7"}).settings.session_seconds == 7


def test_the_source_of_each_setting_is_remembered(read: Callable[..., Loaded], tmp_path: Path) -> None:
    loaded = read("workers = 2", {"MENSHEN_LOG_LEVEL": "ERROR"}, port="0")
    assert loaded.sources["workers"] == f"file {tmp_path / 'given.toml'}"
    assert loaded.sources["log_level"] == "environment MENSHEN_LOG_LEVEL"
    assert loaded.sources["port"] == "command line --port"
    assert loaded.sources["address"] == "default"
    assert not loaded.is_set("address")


def test_the_file_beside_the_data_is_read_when_it_is_there(tmp_path: Path) -> None:
    environ = {"MENSHEN_DATA_DIR": str(tmp_path)}
    assert settings.load({}, environ).settings.port == 8000
    private(tmp_path / "menshen.toml", "port = 1234")
    assert settings.load({}, environ).settings.port == 1234
    assert settings.load({"data_dir": str(tmp_path)}, {}).settings.port == 1234


def test_a_file_that_was_named_must_exist(tmp_path: Path) -> None:
    missing = tmp_path / "missing.toml"
    assert str(missing) in refusal(lambda: settings.load({}, {}, missing))


def test_a_file_that_is_no_toml_stops_the_start_without_quoting_it(read: Callable[..., Loaded], tmp_path: Path) -> None:
    text = refusal(lambda: read(f"appsecret = {APP_SECRET}"))
    assert "given.toml: is not TOML" in text
    assert "line 1" in text
    assert APP_SECRET not in text
    file = tmp_path / "latin.toml"
    file.write_bytes(b'appsecret = "\xe9"')
    assert "UTF-8" in refusal(lambda: settings.load({}, {}, file))


def test_defaults_are_the_documented_ones() -> None:
    default = Settings()
    assert (default.address, default.port, default.simulator_port) == ("127.0.0.1", 8000, 8099)
    assert (default.session_seconds, default.session_max_seconds) == (7 * 86_400, 30 * 86_400)
    assert (default.login_limit, default.unknown_token_limit, default.open_logins) == (3000, 600, 500)
    assert default.wechat_base == "https://api.weixin.qq.com"
    assert (default.sessions, default.apps, default.language) == ("database", (), "zh_CN")


def test_the_embedded_database_lies_in_the_data_directory(read: Callable[..., Loaded], tmp_path: Path) -> None:
    assert read(data_dir=str(tmp_path)).settings.database == SqliteUrl(tmp_path / "menshen.db")
    assert Settings(data_dir=tmp_path).database == SqliteUrl(tmp_path / "menshen.db")
    assert Settings().data_dir == Path.cwd() / "data"


# --- what each kind of value takes ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("port", "65535", 65535),
        ("address", "::1", "::1"),
        ("address", "localhost", "localhost"),
        ("session_seconds", "604800", 604_800),
        ("session_seconds", "7d", 604_800),
        ("session_seconds", "12h", 43_200),
        ("session_seconds", "30m", 1800),
        ("session_seconds", "45s", 45),
        ("session_idle_seconds", "0", 0),
        ("session_idle_seconds", "5m", 300),
        *[("expose_openid", word, True) for word in ("true", "1", "yes", "on", "TRUE", "Yes")],
        *[("session_reasons", word, False) for word in ("false", "0", "no", "off", "OFF")],
        ("log_level", "WARNING", "warning"),
        ("language", "ZH_cn", "zh_CN"),
        ("wechat_base", "https://api.weixin.qq.com/", "https://api.weixin.qq.com"),
        ("wechat_base", "http://localhost:8099", "http://localhost:8099"),
        ("wechat_base", "http://[::1]:8099", "http://[::1]:8099"),
        ("public_url", "", None),
        ("public_url", "http://192.168.1.2:8000", "http://192.168.1.2:8000"),
        ("trusted_proxies", "", ()),
        ("trusted_proxies", "10.0.0.0/8,::1", (ip_network("10.0.0.0/8"), ip_network("::1/128"))),
        ("allowed_hosts", "Login.Example.COM, [::1]", ("login.example.com", "::1")),
        ("sessions", "database", "database"),
        ("sessions", "redis://cache", RedisUrl("cache", 6379, "", Secret(""), 0, tls=False)),
        ("sessions", "rediss://u:p%2Fw@c:1/15", RedisUrl("c", 1, "u", Secret("p/w"), 15, tls=True)),
        (
            "sessions",
            "redis+sentinel://u:p%2Fw@a,B:1,[::1]:2/main",
            RedisUrl("a", 26379, "u", Secret("p/w"), 0, False, (("a", 26379), ("b", 1), ("::1", 2)), "main"),
        ),
        (
            "sessions",
            "rediss+sentinel://:pw@a:1/main/3",
            RedisUrl("a", 1, "", Secret("pw"), 3, True, (("a", 1),), "main"),
        ),
        ("sessions", "redis://:pw@[::1]:6380", RedisUrl("::1", 6380, "", Secret("pw"), 0, tls=False)),
        ("database", "sqlite:///srv/a/b.db", SqliteUrl(Path("/srv/a/b.db"))),
        ("database", "sqlite:////srv/a%20b.db", SqliteUrl(Path("/srv/a b.db"))),
        ("database", "mysql://m@db/n", MysqlUrl("m", Secret(""), "db", 3306, "n")),
        ("database", "mysql://a%40b:p%40s%C3%A9@db:3307/n", MysqlUrl("a@b", Secret("p@sé"), "db", 3307, "n")),
        ("key_prefix", "a-B_9", "a-B_9"),
        ("retention_days", "", Retention(190, 190, 190, 400)),
        ("retention_days", "addresses=30", Retention(190, 30, 190, 400)),
        ("retention_days", " figures = 3660,logins=184 ", Retention(184, 190, 190, 3_660)),
    ],
)
def test_a_good_value_is_read(read: Callable[..., Loaded], key: str, text: str, value: object) -> None:
    assert getattr(read(environ=variables(**{key: text})).settings, key) == value


@pytest.mark.parametrize(
    ("toml", "key", "value"),
    [
        ("port = 9000", "port", 9000),
        ("session_sliding = true", "session_sliding", True),
        ('session_seconds = "7d"', "session_seconds", 604_800),
        ('allowed_hosts = ["a.example", "b.example"]', "allowed_hosts", ("a.example", "b.example")),
        ("trusted_proxies = []", "trusted_proxies", ()),
        ('retention_days = ["logins=200", "refused=31"]', "retention_days", Retention(200, 190, 31, 400)),
    ],
)
def test_the_file_may_use_tomls_own_types(read: Callable[..., Loaded], toml: str, key: str, value: object) -> None:
    assert getattr(read(toml).settings, key) == value


@pytest.mark.parametrize(
    ("key", "text", "takes"),
    [
        ("port", "eighty", "a whole number from 0 to 65535"),
        ("port", "65536", "65535"),
        ("port", "-1", "65535"),
        ("port", "8_000", "65535"),
        ("port", "８０", "65535"),
        ("port", "9" * 5000, "65535"),
        ("port", "", "got nothing"),
        ("address", "example.com", "an IP address of this machine, or localhost"),
        ("data_dir", "", "the path of a directory"),
        ("data_dir", "a\x00b", "the path of a directory"),
        ("session_seconds", "0", "1 to 31622400 seconds"),
        ("retention_days", "190", "days by kind"),
        ("retention_days", "logins=183", "six months of network logs"),
        ("retention_days", "logins=3661", "logins takes 184 to 3660 days"),
        ("retention_days", "addresses=29", "addresses takes 30 to 3660 days"),
        ("retention_days", "audit=400", "days by kind"),
        ("retention_days", "logins=190, logins=200", "days by kind"),
        ("retention_days", "logins=１９０", "days by kind"),
        ("retention_days", "logins=-1", "days by kind"),
        ("session_seconds", "7 weeks", "7d"),
        ("session_seconds", "1.5h", "12h"),
        ("session_idle_seconds", "299", "0 (off) or 300 to"),
        ("session_sliding", "maybe", "true or false"),
        ("sessions_overflow", "newest", "oldest or refuse"),
        ("signup", "", "open or closed"),
        ("open_logins", "0", "from 1 to"),
        ("key_prefix", "a:b", "1 to 16 letters"),
        ("key_prefix", "a" * 17, "1 to 16 letters"),
        ("appid", "wx123", "wx and 16"),
        ("appid", "WX1234567890ABCDEF", "wx and 16"),
        ("wechat_base", "http://api.weixin.qq.com", "plain http would show them"),
        ("wechat_base", "http://127.0.0.1.example.com", "http only to a loopback address"),
        ("wechat_base", "http://127.0.0.1@example.com", "only scheme, host and port"),
        ("wechat_base", "https://api.weixin.qq.com/sns", "only scheme, host and port"),
        ("wechat_base", "https://api.weixin.qq.com?x=1", "an https URL without path"),
        ("wechat_base", "https://api.weixin.qq.com:0", "an https URL"),
        ("wechat_base", "https://", "an https URL"),
        ("wechat_base", "ftp://127.0.0.1", "an https URL"),
        ("wechat_base", "api.weixin.qq.com", "an https URL"),
        ("public_url", "https://login.example.com/menshen", "without path"),
        ("trusted_proxies", "10.0.0.1/8", "networks like 10.0.0.0/8"),
        ("trusted_proxies", "0.0.0.0/0", "would let every caller name its own"),
        ("trusted_proxies", "::/0", "would let every caller name its own"),
        ("allowed_hosts", "login.example.com:8000", "host names without port"),
        ("allowed_hosts", "*", "host names without port"),
        ("database", "postgres://h/n", "mysql://user:password@host:3306/name"),
        ("database", "mysql://h/n", "mysql://user:password@host:3306/name"),
        ("database", "mysql://u@h/", "mysql://user:password@host:3306/name"),
        ("database", "mysql://u@h/a`b", "mysql://user:password@host:3306/name"),
        ("database", "mysql://u@h/n?charset=latin1", "mysql://user:password@host:3306/name"),
        ("database", "sqlite://data/users.db", "sqlite:///whole/path"),
        ("database", "sqlite:///users.db", "the whole path, from the root on"),
        ("database", "sqlite:///./data/users.db", "the whole path, from the root on"),
        ("sessions", "redis", "database, redis://"),
        ("sessions", "redis://h/abc", "database, redis://"),
        ("sessions", "redis+sentinel://a:1,b:2", "database, redis://"),
        ("sessions", "redis+sentinel://a:1,b:x/master", "database, redis://"),
        ("sessions", "redis+sentinel://a:1,,b:2/master", "database, redis://"),
        ("sessions", "redis+sentinel://a:1/master/x", "database, redis://"),
        ("sessions", "redis+cluster://a:1,b:2", "comes with a later version"),
        ("workers", "0", "from 1 to"),
        ("log_format", "xml", "text or json"),
        ("log_level", "trace", "debug or info or warning or error"),
        ("language", "fr", "zh_CN or en"),
    ],
)
def test_a_wrong_value_is_refused_in_one_line(read: Callable[..., Loaded], key: str, text: str, takes: str) -> None:
    line = refusal(lambda: read(environ=variables(**{key: text}) | variables(**PARTNER.get(key, {}))))
    assert line.startswith(f"{key.upper()} (environment MENSHEN_{key.upper()}): got ")
    assert takes in line
    assert line.isprintable()
    assert len(line) < 400


@pytest.mark.parametrize(
    "toml",
    [
        "port = 80.5",
        "port = true",
        "port = [80]",
        "port = { env = 'PORT' }",
        "workers = 2026-01-01",
        "signup = ['open']",
    ],
)
def test_the_file_may_not_use_the_wrong_type(read: Callable[..., Loaded], toml: str) -> None:
    assert f"{toml.split(' ')[0].upper()} (file " in refusal(lambda: read(toml, {"PORT": "80"}))


def test_everything_that_is_wrong_is_told_at_once(read: Callable[..., Loaded]) -> None:
    environ = variables(port="eighty", log_level="loud", appid=APPID, session_sliding="on", session_max_seconds="1d")
    with pytest.raises(WrongSettings) as caught:
        read('session_secnds = 3\nsignup = "maybe"', environ, workers="many", colour="red")
    lines = caught.value.lines
    for beginning in ("PORT ", "LOG_LEVEL ", "SIGNUP ", "WORKERS ", "APPSECRET:", "SESSION_MAX_SECONDS:", '"colour"'):
        assert len([line for line in lines if line.startswith(beginning)]) == 1
    assert any("session_secnds" in line and "did you mean session_seconds?" in line for line in lines)
    assert len(lines) == 8


def test_a_sliding_session_may_not_end_before_a_plain_one(read: Callable[..., Loaded]) -> None:
    line = refusal(lambda: read(session_sliding="true", session_seconds="40d"))
    assert line == "SESSION_MAX_SECONDS: got 2592000, takes at least SESSION_SECONDS (3456000) with SESSION_SLIDING"
    assert read(session_seconds="40d").settings.session_seconds == 40 * 86_400


# --- names nobody knows --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "meant"), [("prot", "port"), ("PORT", "port"), ("app", "apps"), ("wechat_bas", "wechat_base")]
)
def test_an_unknown_key_in_the_file_stops_the_start(read: Callable[..., Loaded], key: str, meant: str) -> None:
    line = refusal(lambda: read(f"{key} = 1"))
    assert line.startswith(f'"{key}" in ')
    assert line.endswith(f"is no setting; did you mean {meant}?")


def test_an_unknown_key_that_resembles_nothing_is_just_named(read: Callable[..., Loaded]) -> None:
    assert refusal(lambda: read("zzz = 1")).endswith("is no setting")


def test_an_unknown_variable_is_one_warning_that_shows_no_value(read: Callable[..., Loaded]) -> None:
    loaded = read(environ={"MENSHEN_PROT": PASSWORD, "PATH": "/bin", "MENSHEN_PORT": "1"})
    assert len(loaded.warnings) == 1
    assert "MENSHEN_PROT" in loaded.warnings[0]
    assert "did you mean MENSHEN_PORT?" in loaded.warnings[0]
    assert PASSWORD not in loaded.warnings[0]


def test_an_unknown_variable_is_warned_of_also_when_something_is_wrong(read: Callable[..., Loaded]) -> None:
    with pytest.raises(WrongSettings) as caught:
        read(environ={"MENSHEN_PROT": PASSWORD, "MENSHEN_PORT": "none"})
    [warning] = caught.value.warnings
    assert "did you mean MENSHEN_PORT?" in warning
    assert len(caught.value.lines) == 1


@pytest.mark.parametrize("name", ["ADMIN", "HOST", "REDIS", "TOKEN", "SECRET_KEY", "ROOT", "MYSQL_PORT", "LOG_FILE"])
def test_what_is_meant_is_only_guessed_where_it_is_close(read: Callable[..., Loaded], name: str) -> None:
    [warning] = read(environ={f"MENSHEN_{name}": "1"}).warnings
    assert "did you mean" not in warning


# --- where secrets may come from -----------------------------------------------------------------------------------


def test_a_secret_may_stand_in_a_variable_a_file_or_a_systemd_credential(
    read: Callable[..., Loaded], tmp_path: Path
) -> None:
    private(tmp_path / "app.secret", f"{OTHER_SECRET}\n")
    private(tmp_path / "database.url", f"mysql://menshen:{PASSWORD}@db/n\n", 0o400)
    toml = f"""
        appid = "{APPID}"
        appsecret = {{ env = "MENSHEN_SHOP_SECRET" }}
        database = {{ credential = "database.url" }}
        [[apps]]
        appid = "{OTHER_APPID}"
        secret = {{ file = "app.secret" }}
        name = "诊所"
    """
    loaded = read(toml, {"MENSHEN_SHOP_SECRET": APP_SECRET, "CREDENTIALS_DIRECTORY": str(tmp_path)})
    assert loaded.warnings == ()
    first, second = loaded.settings.apps
    assert (first.appid, first.secret.reveal(), first.name) == (APPID, APP_SECRET, APPID)
    assert (second.appid, second.secret.reveal(), second.name) == (OTHER_APPID, OTHER_SECRET, "诊所")
    assert loaded.settings.database == MysqlUrl("menshen", Secret(PASSWORD), "db", 3306, "n")


@pytest.mark.parametrize("mode", [0o644, 0o604, 0o666, 0o620])
def test_a_secrets_file_that_others_may_use_is_refused(read: Callable[..., Loaded], tmp_path: Path, mode: int) -> None:
    path = private(tmp_path / "app.secret", APP_SECRET, mode)
    line = refusal(lambda: read('appsecret = { file = "app.secret" }', {"MENSHEN_APPID": APPID}))
    assert f"open to others (mode {mode:04o}): chmod 600 {path}" in line
    assert APP_SECRET not in line


@pytest.mark.parametrize(
    ("reference", "reason"),
    [
        ('{ env = "NOT_THERE" }', '"NOT_THERE" is not set'),
        ('{ file = "not-there" }', "No such file"),
        ('{ file = "empty" }', "is empty"),
        ('{ file = "binary" }', "is not a text in UTF-8"),
        ('{ file = "." }', "Is a directory"),
        ('{ credential = "app" }', "systemd gave this process no credentials"),
        ('{ vault = "x" }', "a secret may stand elsewhere as"),
        ('{ env = "A", file = "b" }', "a secret may stand elsewhere as"),
        ("{ env = 3 }", "a secret may stand elsewhere as"),
    ],
)
def test_a_secret_that_cannot_be_fetched_says_why(
    read: Callable[..., Loaded], tmp_path: Path, reference: str, reason: str
) -> None:
    private(tmp_path / "empty", "\n")
    private(tmp_path / "binary", "")
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    line = refusal(lambda: read(f"appsecret = {reference}", {"MENSHEN_APPID": APPID}))
    assert line.startswith("APPSECRET (file ")
    assert reason in line


def test_a_credential_may_not_name_a_file_elsewhere(read: Callable[..., Loaded], tmp_path: Path) -> None:
    private(tmp_path / "elsewhere", APP_SECRET)
    (tmp_path / "credentials").mkdir()
    environ = {"MENSHEN_APPID": APPID, "CREDENTIALS_DIRECTORY": str(tmp_path / "credentials")}
    assert "cannot be read" in refusal(lambda: read('appsecret = { credential = "../elsewhere" }', environ))


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("appsecret", APP_SECRET),
        ("appsecret", f"{APP_SECRET} "),
        ("database", f"mysql://menshen:{PASSWORD}@db/n"),
        ("sessions", f"redis://:{PASSWORD}@cache"),
    ],
)
def test_a_secret_on_the_command_line_is_refused(read: Callable[..., Loaded], key: str, text: str) -> None:
    line = refusal(lambda: read(environ={"MENSHEN_APPID": APPID} if key == "appsecret" else {}, **{key: text}))
    assert line.splitlines()[0].startswith(f"{key.upper()} (command line --{key}): no secret on the command line")
    assert f"MENSHEN_{key.upper()}" in line
    assert APP_SECRET not in line
    assert PASSWORD not in line


@pytest.mark.parametrize(
    "toml",
    [
        f'appsecret = "{APP_SECRET}"',
        f'[[apps]]\nappid = "{OTHER_APPID}"\nsecret = "{OTHER_SECRET}"',
        f'database = "mysql://menshen:{PASSWORD}@db/n"',
    ],
)
def test_a_file_with_a_secret_that_others_may_read_is_warned_of(tmp_path: Path, toml: str) -> None:
    environ = {"MENSHEN_APPID": APPID} if toml.startswith("appsecret") else {}
    file = private(tmp_path / "open.toml", toml, 0o644)
    assert settings.load({}, environ, file).warnings == (
        f"{file} holds a secret and others may read it: chmod 600 {file}",
    )
    file.chmod(0o640)
    assert settings.load({}, environ, file).warnings == ()


# --- mini programs and their secrets -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "secret",
    [
        "changeme",
        APP_SECRET[:31],
        "simulator-secret",
        "0" * 32,
        "ab" * 16,
        "aaaabbbbccccddddddddccccbbbbaaaa",
        "0123456789abcdef0123456789abcdef",
        "changeme-changeme-changeme-changeme",
        "your-appsecret-from-the-weixin-console",
    ],
)
def test_a_guessable_secret_stops_the_start_unless_wechat_is_a_simulator(
    read: Callable[..., Loaded], secret: str
) -> None:
    environ = variables(appid=APPID, appsecret=secret)
    line = refusal(lambda: read(environ=environ))
    assert line.startswith("APPSECRET: got ***, takes the AppSecret of 32 characters")
    assert secret not in line
    assert read(environ=environ | variables(wechat_base=SIMULATOR)).settings.apps[0].secret.reveal() == secret
    listed = f'[[apps]]\nappid = "{OTHER_APPID}"\nsecret = "{secret}"'
    assert refusal(lambda: read(listed)).startswith("[[apps]] 1 secret: got ***")


def test_a_wrong_wechat_base_does_not_blame_the_simulators_secret(read: Callable[..., Loaded]) -> None:
    environ = variables(appid=APPID, appsecret="simulator-secret", wechat_base="http//127.0.0.1")
    assert refusal(lambda: read(environ=environ)).startswith("WECHAT_BASE")


@pytest.mark.parametrize(("given", "missing"), [("appid", "APPSECRET"), ("appsecret", "APPID")])
def test_half_a_mini_program_is_refused(read: Callable[..., Loaded], given: str, missing: str) -> None:
    assert refusal(lambda: read(environ=variables(**{given: GOOD[given]}))).startswith(f"{missing}: is missing")


def test_a_wrong_appid_does_not_hide_a_wrong_appsecret(read: Callable[..., Loaded]) -> None:
    listed = '[[apps]]\nappid = "also wrong"\nsecret = "{}"\n'
    with pytest.raises(WrongSettings) as caught:
        read(listed.format("changeme") + listed.format(OTHER_SECRET), variables(appid="wrong", appsecret="changeme"))
    beginnings = (
        "APPID (environment",
        "[[apps]] 1 (file",
        "[[apps]] 2 (file",
        "APPSECRET: got ***",
        "[[apps]] 1 secret:",
    )
    assert [line.startswith(each) for line, each in zip(caught.value.lines, beginnings, strict=True)] == [True] * 5


def test_an_appid_may_be_given_only_once(read: Callable[..., Loaded]) -> None:
    entry = f'[[apps]]\nappid = "{APPID}"\nsecret = "{OTHER_SECRET}"\n'
    twice = f"APPS: the appid {APPID} is given twice"
    assert refusal(lambda: read(entry, variables(appid=APPID, appsecret=APP_SECRET))) == twice
    assert refusal(lambda: read(entry + entry)) == twice


@pytest.mark.parametrize(
    ("toml", "beginning"),
    [
        ('apps = "wx"', "APPS (file "),
        ("[apps]\nappid = 'wx'", "APPS (file "),
        (f"[[apps]]\nappid = '{APPID}'", "[[apps]] 1 (file "),
        (f"[[apps]]\nsecret = '{APP_SECRET}'", "[[apps]] 1 (file "),
        (f"[[apps]]\nappid = '{APPID}'\nsecret = '{APP_SECRET}'\nname = ''", "[[apps]] 1 (file "),
        (f"[[apps]]\nappid = '{APPID}'\nsecret = '{APP_SECRET}'\nnam = 'x'", '"nam" in [[apps]] 1 '),
    ],
)
def test_a_wrong_entry_in_the_list_of_mini_programs_is_named(
    read: Callable[..., Loaded], toml: str, beginning: str
) -> None:
    line = refusal(lambda: read(toml))
    assert line.startswith(beginning)
    assert len(line.splitlines()) == 1
    assert APP_SECRET not in line


# --- what people are shown -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("appsecret", f"{PASSWORD} with blanks"),
        ("appid", APP_SECRET),
        ("database", PASSWORD),
        ("database", f"mysql://menshen:{PASSWORD}#@db/n"),
        ("database", f"mysql://menshen:{PASSWORD}@db:port/n"),
        ("database", f"mysql://menshen@db:{PASSWORD}/n"),
        ("database", f"mysql://db/n?password={PASSWORD}"),
        ("database", f"mysql:menshen:{PASSWORD}@db/n"),
        ("sessions", f"redis://:{PASSWORD}@[cache"),
        ("sessions", f"redis+cluster://:{PASSWORD}@cache"),
        ("sessions", f"redis+sentinel://:{PASSWORD}@cache"),
        ("sessions", f"redis+sentinel://:{PASSWORD}@cache:x/main"),
        ("wechat_base", f"https://api.weixin.qq.com/sns/jscode2session?secret={PASSWORD}"),
        ("wechat_base", f"https://me:{PASSWORD}@api.weixin.qq.com"),
        ("public_url", f"https://me:{PASSWORD}@login.example.com"),
    ],
)
def test_a_wrong_value_is_never_quoted_with_a_secret_in_it(read: Callable[..., Loaded], key: str, text: str) -> None:
    with pytest.raises(WrongSettings) as caught:
        read(environ=variables(**{key: text}))
    chain: list[BaseException | None] = [caught.value, caught.value.__cause__, caught.value.__context__]
    told = "".join(f"{problem} {problem!r}" for problem in chain)
    assert f"{key.upper()} (environment " in told
    assert "***" in told
    assert PASSWORD not in told
    assert APP_SECRET not in told


def test_a_wrong_value_in_the_file_stays_on_one_line(read: Callable[..., Loaded]) -> None:
    assert len(refusal(lambda: read('signup = "a\\nERROR forged"')).splitlines()) == 1
    assert len(refusal(lambda: read('"a\\nERROR forged" = 1')).splitlines()) == 1


def test_describe_shows_every_setting_and_no_secret(read: Callable[..., Loaded]) -> None:
    environ = variables(
        appid=APPID,
        appsecret=APP_SECRET,
        database=f"mysql://menshen:{PASSWORD}@db/n",
        sessions=f"rediss://me:{PASSWORD}@[::1]/3",
        trusted_proxies="10.0.0.0/8,::1",
    )
    toml = f'[[apps]]\nappid = "{OTHER_APPID}"\nsecret = "{OTHER_SECRET}"\nname = "The shop"'
    rows = describe(read(toml, environ, port="0").settings)
    shown = {row.name: row.value for row in rows}
    assert [row.name for row in rows] == [*(key.upper() for key in KNOBS), "APPS"]
    assert shown["APPSECRET"] == "***"
    assert shown["DATABASE"] == "mysql://menshen:***@db:3306/n"
    assert shown["SESSIONS"] == "rediss://me:***@[::1]:6379/3"
    assert shown["TRUSTED_PROXIES"] == "10.0.0.0/8, ::1/128"
    assert shown["APPS"] == f"{APPID}, {OTHER_APPID} (The shop)"
    assert (shown["SESSION_REASONS"], shown["PUBLIC_URL"]) == ("true", "")
    assert next(row for row in rows if row.name == "PORT").source == "command line --port"
    for secret in (APP_SECRET, OTHER_SECRET, PASSWORD):
        assert secret not in str(rows)


def test_the_loaded_settings_print_no_secret(read: Callable[..., Loaded]) -> None:
    environ = variables(appid=APPID, appsecret=APP_SECRET, sessions=f"redis://:{PASSWORD}@cache")
    loaded = read(environ=environ)
    assert APP_SECRET not in f"{loaded} {loaded!r} {loaded.settings}"
    assert PASSWORD not in f"{loaded} {loaded!r} {loaded.settings}"
    assert isinstance(loaded.settings.sessions, RedisUrl)
    assert loaded.settings.sessions.password.reveal() == PASSWORD


@pytest.mark.parametrize("knob", KNOBS.values(), ids=KNOBS)
def test_every_knob_has_one_sentence_in_both_languages(knob: Knob) -> None:
    assert re.fullmatch(r"[A-Z`].{20,118}\.", knob.sentence)
    assert re.search(r"[\u4e00-\u9fff]", knob.sentence_zh)
    assert knob.sentence_zh.endswith("。")


def test_the_sentences_are_shown_in_the_readers_language(read: Callable[..., Loaded]) -> None:
    loaded = read()
    assert describe(loaded.settings, "zh_CN")[0].sentence == KNOBS["address"].sentence_zh
    assert describe(loaded.settings, "en")[0].sentence == KNOBS["address"].sentence


def test_a_knob_is_one_line_of_the_source() -> None:
    source = Path(settings.__file__).read_text(encoding="utf-8").splitlines()
    for knob in KNOBS.values():
        assert len([line for line in source if line.startswith(f"    {knob.key}: ") and knob.sentence_zh in line]) == 1


# --- the page ------------------------------------------------------------------------------------------------------


def test_the_page_in_docs_is_the_one_made_from_the_table() -> None:
    page = Path(settings.__file__).parent / "docs" / "settings.md"
    assert page.read_text(encoding="utf-8") == settings_page(), "run `make docs`"


def test_the_page_names_every_setting_with_its_default_and_sentence() -> None:
    rows = {line.split("`")[1]: line for line in settings_page().splitlines() if line.startswith("| `")}
    assert list(rows) == [key.upper() for key in KNOBS]
    for knob in KNOBS.values():
        assert rows[knob.name].count("|") == 5
        assert f"| `{knob.default}` |" in rows[knob.name] or not knob.default
        assert rows[knob.name].endswith(f"| {knob.sentence} |")


def test_the_example_of_the_page_loads(read: Callable[..., Loaded], tmp_path: Path) -> None:
    example = settings_page().split("```toml\n")[1].split("```")[0]
    private(tmp_path / "database.url", f"mysql://menshen:{PASSWORD}@127.0.0.1:3306/menshen")
    private(tmp_path / "clinic.appsecret", APP_SECRET)
    push = {"CLINIC_PUSH_TOKEN": "AAAAA", "CLINIC_PUSH_KEY": "A" * 43}
    loaded = read(example, {"SHOP_APPSECRET": OTHER_SECRET, **push})
    assert loaded.warnings == ()
    assert [app.name for app in loaded.settings.apps] == ["The shop", "The clinic"]
    assert [app.push_token for app in loaded.settings.apps] == [None, Secret("AAAAA")]
    assert [app.push_key for app in loaded.settings.apps] == [None, Secret("A" * 43)]
    assert loaded.settings.session_sliding
    assert loaded.settings.session_max_seconds == 30 * 86_400


def test_reading_settings_changes_nothing_on_the_disk(read: Callable[..., Loaded], tmp_path: Path) -> None:
    read(data_dir=str(tmp_path / "data"))
    assert os.listdir(tmp_path) == ["given.toml"]


def test_the_push_of_a_mini_program_is_read_and_masked(read: Callable[..., Loaded]) -> None:
    entry = f'[[apps]]\nappid = "{APPID}"\nsecret = "{APP_SECRET}"\n'
    [app] = read(f'{entry}push_token = "AAAAA"\npush_key = "{"k" * 43}"').settings.apps
    assert app.push_token == Secret("AAAAA")
    assert app.push_key == Secret("k" * 43)
    assert "AAAAA" not in f"{app!r} {app}"
    assert "k" * 43 not in f"{app!r} {app}"
    loaded = read(environ=variables(appid=APPID, appsecret=APP_SECRET, push_token="BBB"))
    assert [(each.push_token, each.push_key) for each in loaded.settings.apps] == [(Secret("BBB"), None)]
    assert "push_token: is missing" in refusal(lambda: read(f'{entry}push_key = "{"k" * 43}"'))
    assert "PUSH_TOKEN: is missing" in refusal(lambda: read(environ=variables(push_key="k" * 43)))
    for wrong in ("ab", "a" * 33, "with-dash"):
        said = refusal(lambda wrong=wrong: read(f'{entry}push_token = "{wrong}"'))  # type: ignore[misc]  # a lambda
        assert "push_token" in said
        assert wrong not in said
    assert "***" in refusal(lambda: read(f'{entry}push_token = "AAAAA"\npush_key = "{"k" * 42}"'))
