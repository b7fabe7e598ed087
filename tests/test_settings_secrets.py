"""Secrets among the settings: where they may stand, who may read them there, and that nothing prints them."""

import copy
import json
import logging
import pickle
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from settings_given import APP_SECRET, APPID, OTHER_APPID, OTHER_SECRET, PASSWORD, private, refusal, variables

import settings
from settings import App, Loaded, MysqlUrl, RedisUrl, Secret, Settings, WrongSettings

pytest_plugins = ["settings_reader"]
pytestmark = pytest.mark.quick


def test_a_secret_prints_as_stars_wherever_it_is_put(caplog: pytest.LogCaptureFixture) -> None:
    secret = Secret(APP_SECRET)
    app = App(APPID, secret, "The shop")
    logging.getLogger("shop").warning("%s %r %s", secret, app, {"secret": secret})
    texts = [repr(secret), str(secret), f"{secret} {secret!r} {secret:>60}", f"{app}", repr(app), caplog.text]
    texts += [repr(msgspec.structs.asdict(app)), repr(Settings(appid=APPID, appsecret=secret)), repr([secret])]
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
        ("sessions", f"redis+cluster://:{PASSWORD}@cache:x"),
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


def test_the_loaded_settings_print_no_secret(read: Callable[..., Loaded]) -> None:
    environ = variables(appid=APPID, appsecret=APP_SECRET, sessions=f"redis://:{PASSWORD}@cache")
    loaded = read(environ=environ)
    assert APP_SECRET not in f"{loaded} {loaded!r} {loaded.settings}"
    assert PASSWORD not in f"{loaded} {loaded!r} {loaded.settings}"
    assert isinstance(loaded.settings.sessions, RedisUrl)
    assert loaded.settings.sessions.password.reveal() == PASSWORD
