"""What an operator may write into the settings, what comes of it, and what he is told when it is wrong."""

import json
import os
from collections.abc import Callable
from ipaddress import ip_network
from pathlib import Path

import pytest
from settings_given import APP_SECRET, APPID, GOOD, PARTNER, PASSWORD, private, refusal, variables

import settings
from settings import KNOBS, Knob, Loaded, MysqlUrl, RedisUrl, Retention, Secret, Settings, SqliteUrl, WrongSettings

pytest_plugins = ["settings_reader"]
pytestmark = pytest.mark.quick


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
        (
            "sessions",
            "redis+cluster://u:p%2Fw@a,B:1,[::1]:2",
            RedisUrl("a", 6379, "u", Secret("p/w"), 0, False, nodes=(("a", 6379), ("b", 1), ("::1", 2))),
        ),
        ("sessions", "rediss+cluster://a:1/", RedisUrl("a", 1, "", Secret(""), 0, tls=True, nodes=(("a", 1),))),
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
        ("sessions", "redis+cluster://a:1,b:2/3", "database, redis://"),
        ("sessions", "redis+cluster://a:1,,b:2", "database, redis://"),
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


def test_a_wrong_value_in_the_file_stays_on_one_line(read: Callable[..., Loaded]) -> None:
    assert len(refusal(lambda: read('signup = "a\\nERROR forged"')).splitlines()) == 1
    assert len(refusal(lambda: read('"a\\nERROR forged" = 1')).splitlines()) == 1


def test_reading_settings_changes_nothing_on_the_disk(read: Callable[..., Loaded], tmp_path: Path) -> None:
    read(data_dir=str(tmp_path / "data"))
    assert os.listdir(tmp_path) == ["given.toml"]
