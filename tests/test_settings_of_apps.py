"""Mini programs in the settings: APPID and APPSECRET, and the list [[apps]] in the file."""

from collections.abc import Callable

import pytest
from settings_given import APP_SECRET, APPID, GOOD, OTHER_APPID, OTHER_SECRET, SIMULATOR, refusal, variables

from settings import Loaded, Secret, WrongSettings

pytest_plugins = ["settings_reader"]
pytestmark = pytest.mark.quick


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
