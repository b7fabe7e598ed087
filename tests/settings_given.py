"""Settings for the tests about them: a good value of each, and what is needed to give them."""

from collections.abc import Callable
from pathlib import Path

import pytest

from settings import WrongSettings

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
    "parser": "tornado",
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
