"""What a phone says of itself, taken apart, and what becomes of one that says something else."""

import pytest
from phone import USER_AGENT
from tornado.httputil import HTTPHeaders, HTTPServerRequest, RequestStartLine

from actions import Caller
from handlers.callers import caller_of

pytestmark = pytest.mark.quick

IPHONE = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_4_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148 "
    "MicroMessenger/8.0.49(0x18003130) NetType/WIFI Language/zh_CN"
)
ANDROID = (
    "Mozilla/5.0 (Linux; Android 13; 2211133C Build/TKQ1.220905.001; wv) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Version/4.0 Chrome/116.0.0.0 Mobile Safari/537.36 XWEB/1160117 MMWEBSDK/20240404 MMWEBID/1 "
    "MicroMessenger/8.0.49.2600(0x28003133) WeChat/arm64 Weixin NetType/5G Language/zh_CN ABI/arm64 "
    "MiniProgramEnv/android"
)
DEVTOOLS = (
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/108.0.0.0 "
    "Safari/537.36 wechatdevtools/1.06.2405020 MicroMessenger/8.0.5 webview/ token/1"
)


def caller(user_agent: str | None) -> Caller:
    headers = HTTPHeaders({"Host": "login.example"})
    if user_agent is not None:
        headers["User-Agent"] = user_agent
    request = HTTPServerRequest(start_line=RequestStartLine("POST", "/login", "HTTP/1.1"), headers=headers)
    request.remote_ip = "192.0.2.1"
    return caller_of(request)


@pytest.mark.parametrize(
    ("user_agent", "platform", "device", "wechat"),
    [
        (USER_AGENT, "android", "Pixel 7, Android 14", "8.0.50.2701"),
        (ANDROID, "android", "2211133C, Android 13", "8.0.49.2600"),
        (IPHONE, "ios", "iPhone, iOS 17.4.1", "8.0.49"),
        (IPHONE.replace("iPhone; CPU iPhone OS", "iPad; CPU OS"), "ios", "iPad, iOS 17.4.1", "8.0.49"),
        (DEVTOOLS, "devtools", None, "8.0.5"),
        ("Mozilla/5.0 (Phone; OpenHarmony 5.0) AppleWebKit/537.36", "harmony", "OpenHarmony 5.0", None),
        ("Mozilla/5.0 (Windows NT 10.0) MicroMessenger/7.0.20 MiniProgramEnv/Windows", "windows", None, "7.0.20"),
        ("curl/8.0", None, None, None),
        ("", None, None, None),
        (None, None, None, None),
    ],
)
def test_model_system_and_wechat_are_read(
    user_agent: str | None, platform: str | None, device: str | None, wechat: str | None
) -> None:
    found = caller(user_agent)
    assert (found.platform, found.device, found.wechat) == (platform, device, wechat)


@pytest.mark.parametrize(
    "model",
    [
        "\x00\x1b[31m",
        "\u202egnp",
        "小米 14",
        "x" * 5_000,
        "<script>alert(1)</script>",
        "=1+1",
        "'; DROP TABLE login",
        "\xff",
    ],
)
def test_a_hostile_model_leaves_printable_ascii_of_a_few_characters_or_nothing(model: str) -> None:
    found = caller(f"Mozilla/5.0 (Linux; Android 14; {model}) MicroMessenger/8.0.50")
    assert found.device is None or (len(found.device) <= 64 and found.device.isascii() and found.device.isprintable())


@pytest.mark.parametrize("version", ["9" * 400, "8." * 400, "8.0.50\u0661", "x", "-1"])
def test_a_hostile_version_is_cut_or_nothing(version: str) -> None:
    found = caller(f"MicroMessenger/{version}")
    assert found.wechat is None or (len(found.wechat) <= 16 and set(found.wechat) <= set("0123456789."))


def test_a_long_one_is_read_in_no_time() -> None:
    caller("(Linux; Android 1; " * 100_000 + "(" * 100_000 + "iPhone OS " * 10_000)
