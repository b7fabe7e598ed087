"""Settings about other programs: what they take, and that no key of theirs is ever shown."""

import pytest

from settings import WrongSettings, describe, load

HOOK = "https://shop.example.com/hook"
SECRET = "0f1e2d3c4b5a69788796a5b4c3d2e1f0"


def given(**values: str) -> dict[str, str]:
    return {f"MENSHEN_{name}": value for name, value in values.items()}


@pytest.mark.parametrize(
    "url",
    [
        "http://shop.example.com/hook",
        "ftp://shop.example.com/",
        "https://user:pw@shop.example.com/",
        "https:///hook",
        "shop.example.com",
        "https://shop.example.com/a b",
        "https://shop.example.com/#x",
        "https://shop.example.com:0/",
        "https://[::1/",
    ],
)
def test_an_address_that_is_none_is_refused_without_being_shown(url: str) -> None:
    with pytest.raises(WrongSettings) as wrong:
        load({}, given(WEBHOOK_URL=url, WEBHOOK_SECRET=SECRET))
    assert "WEBHOOK_URL" in str(wrong.value)
    assert "example" not in str(wrong.value)


@pytest.mark.parametrize(
    "url", [HOOK, "http://127.0.0.1:9/x?y=z", "http://localhost/x", "https://[2001:db8::1]:8443/x"]
)
def test_https_and_this_machine_are_good(url: str) -> None:
    found = load({}, given(WEBHOOK_URL=url, WEBHOOK_SECRET=SECRET)).settings
    assert found.webhook_url is not None
    assert found.webhook_url.reveal() == url


@pytest.mark.parametrize(
    ("values", "missing"),
    [
        ({"CONTENT_CHECK": "on"}, "PUBLIC_URL"),
        ({"WEBHOOK_URL": HOOK}, "WEBHOOK_SECRET"),
        ({"WEBHOOK_SECRET": SECRET}, "WEBHOOK_URL"),
        ({"ALARM_DINGTALK_SECRET": SECRET}, "ALARM_DINGTALK_URL"),
        ({"ALARM_FEISHU_SECRET": SECRET}, "ALARM_FEISHU_URL"),
        ({"ALARM_MAIL_TO": "a@example.com"}, "ALARM_MAIL_SERVER"),
        ({"ALARM_MAIL_SERVER": "smtps://mail.example.com", "ALARM_MAIL_FROM": "a@example.com"}, "ALARM_MAIL_TO"),
        ({"ALARM_MAIL_SERVER": "smtps://mail.example.com", "ALARM_MAIL_TO": "a@example.com"}, "ALARM_MAIL_FROM"),
    ],
)
def test_what_means_nothing_alone_names_what_is_missing(values: dict[str, str], missing: str) -> None:
    with pytest.raises(WrongSettings, match=f"{missing}: is missing"):
        load({}, given(**values))


def test_no_key_of_theirs_is_shown() -> None:
    values = given(
        WEBHOOK_URL=HOOK,
        WEBHOOK_SECRET=SECRET,
        ALARM_WECOM_URL="https://qyapi.weixin.qq.com/send?key=k-e-y",
        ALARM_MAIL_SERVER="smtps://me:pass-word@mail.example.com",
        ALARM_MAIL_FROM="a@example.com",
        ALARM_MAIL_TO="b@example.com",
    )
    shown = str(describe(load({}, values).settings))
    for secret in (SECRET, "k-e-y", "pass-word", HOOK):
        assert secret not in shown
    assert "smtps://me:***@mail.example.com:465" in shown
