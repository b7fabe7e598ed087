"""What single settings cannot see: where one contradicts another, needs it, or is given twice."""

from collections import Counter
from collections.abc import Iterator, Mapping
from math import inf
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from addresses import is_loopback
from values import APP_SECRET, Secret, is_weak


class Account(NamedTuple):
    """A mini program as far as it could be read, and what its secret is called in a message."""

    label: str
    appid: str | None
    secret: Secret | None


def disagreements(good: Mapping[str, Any], listed: list[Account]) -> Iterator[str]:
    """Name, in a line each, what is wrong between settings. `listed` are the mini programs of [[apps]].

    A setting that is wrong by itself is missing in `good` and not judged.
    """
    yield from _contradictions(good)
    yield from _lonely(good)
    yield from _uncheckable(good)
    yield from _wrong_apps(good, listed)


def _contradictions(good: Mapping[str, Any]) -> Iterator[str]:
    """Name settings of which one cannot be as it is while the other is."""
    if {"appid", "appsecret"} <= good.keys() and bool(good["appid"]) != bool(good["appsecret"]):
        yield f"{'APPSECRET' if good['appid'] else 'APPID'}: is missing; APPID and APPSECRET belong together"
    if good.get("push_key") and not good.get("push_token", True):
        yield "PUSH_TOKEN: is missing; PUSH_KEY needs it"
    if good.get("session_sliding") and good.get("session_max_seconds", inf) < good.get("session_seconds", 0):
        longest, first = good["session_max_seconds"], good["session_seconds"]
        yield f"SESSION_MAX_SECONDS: got {longest}, takes at least SESSION_SECONDS ({first}) with SESSION_SLIDING"


def _lonely(good: Mapping[str, Any]) -> Iterator[str]:
    """Name settings that mean nothing, or too little, without another."""
    for one, other in (
        ("content_check", "public_url"),
        ("webhook_url", "webhook_secret"),
        ("webhook_secret", "webhook_url"),
        ("alarm_dingtalk_secret", "alarm_dingtalk_url"),
        ("alarm_feishu_secret", "alarm_feishu_url"),
        ("alarm_mail_server", "alarm_mail_to"),
        ("alarm_mail_server", "alarm_mail_from"),
        ("alarm_mail_to", "alarm_mail_server"),
    ):
        if good.get(one) and other in good and not good[other]:
            yield f"{other.upper()}: is missing; {one.upper()} needs it"


def _uncheckable(good: Mapping[str, Any]) -> Iterator[str]:
    """Name the mini programs of whose pictures WeChat could not tell us in sealed words what it thinks."""
    if not good.get("content_check"):
        return
    if good.get("appid") and good.get("push_key", ".") is None:
        yield "PUSH_KEY: is missing; CONTENT_CHECK needs it"
    without = [app.appid for app in good.get("apps", ()) if app.push_key is None]
    yield from (f"APPS: {appid} has no push_key; CONTENT_CHECK needs it" for appid in without)


def _wrong_apps(good: Mapping[str, Any], listed: list[Account]) -> Iterator[str]:
    """Judge every appid and every secret by itself: one that is wrong must not hide the other."""
    accounts = [Account("APPSECRET", good.get("appid"), good.get("appsecret")), *listed]
    counted = Counter(account.appid for account in accounts if account.appid)
    yield from (f"APPS: the appid {appid} is given twice" for appid, times in counted.items() if times > 1)
    if "wechat_base" not in good or is_loopback(urlsplit(good["wechat_base"]).hostname or ""):
        return
    for account in accounts:
        # A guessable secret lets anybody speak to WeChat in the mini program's name (OWASP ASVS 13.2.3).
        if account.secret and is_weak(account.secret):
            yield f"{account.label}: got ***, takes {APP_SECRET.takes}; this one is short or a published example"
