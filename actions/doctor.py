"""Looks at everything that makes a mini program fail in practice, and says of each what to do about it.

Nothing is changed, no secret is printed, and one thing that is broken keeps no other from being looked at.
"""

import asyncio
import contextlib
import os
import re
import resource
import shutil
import ssl
import time
from collections.abc import AsyncIterator, Iterator
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import msgspec

from actions.backend import Backend
from settings import MysqlUrl, RedisUrl, Settings, SqliteUrl, is_loopback
from stores.audit import FILE_NAME as AUDIT_FILE
from stores.audit import AuditBroken
from stores.backups import last_backup
from stores.errors import StoreTrouble
from stores.figures import DAY_HOURS, UNTRUSTED_PROXY, hour_of
from stores.keys import FILE_NAME as KEYS_FILE
from wechat.client import WeChat
from wechat.errors import CodeRefused, WeChatBusy, WeChatMisconfigured, WeChatSilent, WeChatUnreachable
from wechat.wire import verifying_context

Level = Literal["ok", "warn", "fail"]

WECHAT_SECONDS = 5.0
SLOW_SECONDS = 1.0
CLOCK_WARN_SECONDS, CLOCK_FAIL_SECONDS = 30, 300
CERTIFICATE_WARN_DAYS = 14
BACKUP_DAYS = 2
DISK_WARN_BYTES, DISK_FAIL_BYTES = 1 << 30, 100 << 20
FEWEST_FILES = 4_096
DAY_SECONDS = 86_400


class Finding(msgspec.Struct, frozen=True):
    """One line: what was looked at, how it stands, and what to do unless all is well."""

    level: Level
    check: str
    says: str
    remedy: str = ""


async def examine_outside(settings: Settings, config: Path) -> AsyncIterator[Finding]:
    """All that needs no store: files, disk, limits, the proxy, WeChat, the certificate. `config` may not be there."""
    for found in _files(settings, config):
        yield found
    for look in (_disk, _limits, _proxy, _backups):
        for found in look(settings):
            yield found
    async for each in _wechat(settings):
        yield each
    if (settings.public_url or "").startswith("https:"):
        yield await _certificate(str(settings.public_url))


async def examine_stores(backend: Backend) -> AsyncIterator[Finding]:
    """All that the stores tell; each is asked although another is away."""
    parts = (_database, _sessions, _operators, _audit)
    for part in parts:
        try:
            async for found in part(backend):
                yield found
        except StoreTrouble as trouble:
            yield Finding("fail", part.__name__.strip("_"), str(trouble) or "it does not answer", _STORE_AWAY)


_STORE_AWAY = "see that it runs, and that DATABASE and SESSIONS name it rightly"


# Files and the machine


def _files(settings: Settings, config: Path) -> Iterator[Finding]:
    folder = settings.data_dir
    if not folder.is_dir():
        yield Finding("fail", "files", f"there is no folder {folder}", "start the server once, or set DATA_DIR")
        return
    wanted = [folder, config, *(folder / name for name in (KEYS_FILE, AUDIT_FILE))]
    if isinstance(settings.database, SqliteUrl):
        wanted.append(settings.database.path)
        wanted += settings.database.path.parent.glob(f"{settings.database.path.name}[-.]*")
    bad = [path for path in wanted if path.exists() and path.stat().st_mode & 0o077]
    for path in bad:
        mode = "700" if path.is_dir() else "600"
        yield Finding("fail", "files", f"{path} can be read by others", f"chmod {mode} {path}")
    if not os.access(folder, os.W_OK):
        yield Finding("fail", "files", f"{folder} cannot be written by this user", "run it as the server's user")
    elif not bad:
        yield Finding("ok", "files", "only their owner can read the data and the keys")


def _disk(settings: Settings) -> Iterator[Finding]:
    with contextlib.suppress(OSError):
        free = shutil.disk_usage(settings.data_dir).free
        told = f"{free >> 20} MiB free in {settings.data_dir}"
        if free < DISK_FAIL_BYTES:
            yield Finding("fail", "disk", told, "make room now: a full disk refuses every login")
        elif free < DISK_WARN_BYTES:
            yield Finding("warn", "disk", told, "make room, or move DATA_DIR to a larger disk")
        else:
            yield Finding("ok", "disk", told)


def _limits(_settings: Settings) -> Iterator[Finding]:
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if files != resource.RLIM_INFINITY and files < FEWEST_FILES:
        remedy = f"raise it to {FEWEST_FILES} or more: LimitNOFILE= in the systemd unit, ulimit -n in a shell"
        yield Finding("warn", "limits", f"this user may open {files} files, one for each connection", remedy)
    else:
        yield Finding("ok", "limits", "enough files may be open")


def _proxy(settings: Settings) -> Iterator[Finding]:
    if settings.public_url and not settings.trusted_proxies:
        says = "PUBLIC_URL names a proxy that TRUSTED_PROXIES does not: all phones would count as one address"
        yield Finding("fail", "proxy", says, "set TRUSTED_PROXIES to the proxy's address, 127.0.0.1/32 on this machine")
    elif not is_loopback(settings.address) and not settings.trusted_proxies:
        says = f"ADDRESS {settings.address} is served without a proxy that brings TLS, which WeChat asks for"
        yield Finding("warn", "proxy", says, "put nginx in front, see docs/deploy.md, and set TRUSTED_PROXIES")
    else:
        yield Finding("ok", "proxy", "forwarded addresses are believed from where the settings say, and nowhere else")
    if settings.public_url and settings.public_url.startswith("http:"):
        yield Finding("warn", "proxy", "PUBLIC_URL is plain http, which WeChat lets no mini program ask", "use https")
    if settings.insecure_signin:
        yield Finding("warn", "proxy", "operators may sign in over plain http", "switch INSECURE_SIGNIN off")


def _backups(settings: Settings) -> Iterator[Finding]:
    if not isinstance(settings.database, SqliteUrl):
        return
    last = last_backup(settings.data_dir)
    if last is None:
        yield Finding("warn", "backup", "no backup was made yet", "run `backup FILE` every night")
        return
    days = (time.time() - last.at) / DAY_SECONDS
    told = f"the last backup is {days:.1f} days old: {last.file}"
    if days > BACKUP_DAYS:
        yield Finding("warn", "backup", told, "see why the nightly `backup FILE` does not run")
    elif not Path(last.file).is_file():
        yield Finding("warn", "backup", f"{told}, and is gone from there", "see that it was taken to a safe place")
    else:
        yield Finding("ok", "backup", told)


# WeChat and the way to us


async def _wechat(settings: Settings) -> AsyncIterator[Finding]:
    if not settings.apps:
        yield Finding("fail", "wechat", "no mini program is set", "set APPID and APPSECRET")
        return
    wechat = WeChat(settings.wechat_base, {app.appid: app for app in settings.apps}, settings.open_logins)
    try:
        date = ""
        for app in settings.apps:
            probe = await wechat.probe(app.appid, asyncio.get_running_loop().time() + WECHAT_SECONDS)
            date = date or probe.date
            yield _answered(app.appid, probe.outcome, probe.seconds)
        if date:
            yield _clock(date)
    finally:
        await wechat.close()


_WECHAT_REMEDIES = {
    40125: "the AppSecret is wrong: copy it anew from WeChat's console (Development settings) into APPSECRET",
    40013: "the AppID is wrong: copy it anew from WeChat's console into APPID",
    40243: "the AppSecret is frozen: unfreeze it in WeChat's console",
    50002: "WeChat has restricted this mini program: see the notices in its console",
}


def _answered(appid: str, outcome: object, seconds: float) -> Finding:
    check = f"wechat {appid}"
    if isinstance(outcome, CodeRefused):
        took = f"WeChat knows this server, and answered in {seconds * 1000:.0f} ms"
        if seconds > SLOW_SECONDS:
            return Finding("warn", check, took, "each login waits that long: look at DNS and the way to WeChat")
        return Finding("ok", check, took)
    if isinstance(outcome, WeChatMisconfigured):
        return Finding("fail", check, str(outcome), _mended(outcome))
    if isinstance(outcome, WeChatUnreachable):
        remedy = "see that this machine resolves and reaches WECHAT_BASE over port 443, through its firewall"
        return Finding("fail", check, str(outcome), remedy)
    if isinstance(outcome, WeChatSilent):
        return Finding("fail", check, str(outcome), "try again, then look at the way to WeChat")
    if isinstance(outcome, WeChatBusy):
        return Finding("warn", check, str(outcome), "WeChat is busy or a quota is used up: try again in a minute")
    return Finding("fail", check, f"WeChat answered what it should not: {type(outcome).__name__}", "is this WeChat?")


def _mended(trouble: WeChatMisconfigured) -> str:
    if trouble.errcode is None:
        return "WECHAT_BASE has no certificate that can be trusted: is something in between, or is the clock wrong?"
    if trouble.errcode == 40164:
        address = trouble.egress or "the address that this machine goes out with"
        return f"add {address} to the IP whitelist in WeChat's console (Development settings)"
    return _WECHAT_REMEDIES.get(trouble.errcode, "look the number up in WeChat's table of errcodes")


def _clock(date: str) -> Finding:
    try:
        off = abs(time.time() - parsedate_to_datetime(date).timestamp())
    except (ValueError, TypeError, OverflowError):
        return Finding("warn", "clock", "WeChat's answer has no date that can be read", "compare the clock yourself")
    if off > CLOCK_WARN_SECONDS:
        level: Level = "fail" if off > CLOCK_FAIL_SECONDS else "warn"
        return Finding(level, "clock", f"this machine's clock is {off:.0f} s off WeChat's", "let chrony or ntpd set it")
    return Finding("ok", "clock", "this machine's clock agrees with WeChat's")


async def _certificate(url: str) -> Finding:
    """The certificate that phones see at PUBLIC_URL."""
    parts = urlsplit(url)
    name = parts.hostname or ""
    try:
        async with asyncio.timeout(WECHAT_SECONDS):
            _, writer = await asyncio.open_connection(
                name, parts.port or 443, ssl=verifying_context(), server_hostname=name
            )
    except ssl.SSLError as error:
        why = error.verify_message if isinstance(error, ssl.SSLCertVerificationError) else error.reason
        return Finding("fail", "certificate", f"{name}: {why}", "renew it, with its whole chain: WeChat checks it")
    except (OSError, TimeoutError):
        return Finding("warn", "certificate", f"{name} cannot be reached from here", "look at it from elsewhere")
    found = writer.get_extra_info("ssl_object").getpeercert()
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    days = (ssl.cert_time_to_seconds(found["notAfter"]) - time.time()) / DAY_SECONDS
    if days < CERTIFICATE_WARN_DAYS:
        return Finding("warn", "certificate", f"{name}: it ends in {days:.0f} days", "see why it is not renewed")
    return Finding("ok", "certificate", f"{name}: good for {days:.0f} days")


# The stores


async def _database(backend: Backend) -> AsyncIterator[Finding]:
    await backend.db.ping()
    about = await backend.db.about()
    version = about["version"]
    where = backend.settings.database
    if isinstance(where, MysqlUrl):
        for found in (*_too_old(version), *_mysql(about, where)):
            yield found
    yield Finding("ok", "database", f"{where} answers, version {version}, with the schema of this program")
    async for found in _forwarded(backend):
        yield found


async def _forwarded(backend: Backend) -> AsyncIterator[Finding]:
    """What servers on these stores saw of a proxy that they do not believe."""
    if backend.settings.trusted_proxies:
        return
    lately = await backend.figures.named([""], [UNTRUSTED_PROXY], hour_of(backend.now()) - DAY_HOURS)
    if seen := sum(each.n for each in lately):
        counted = f"{seen} request{'' if seen == 1 else 's'} of the last day"
        says = f"{counted} came through a proxy on this machine that nothing names: its phones count as one address"
        yield Finding("fail", "proxy", says, "set TRUSTED_PROXIES=127.0.0.1/32,::1/128 if that proxy is yours")


def _too_old(version: str) -> Iterator[Finding]:
    name, oldest = ("MariaDB", (10, 6)) if "mariadb" in version else ("MySQL", (8, 0))
    found = re.match(r"(\d+)\.(\d+)", version)
    if found and (int(found[1]), int(found[2])) < oldest:
        says = f"{name} {version} is too old: {oldest[0]}.{oldest[1]} or newer is needed"
        yield Finding("fail", "database", says, f"upgrade {name}")


def _mysql(about: dict[str, str], where: MysqlUrl) -> Iterator[Finding]:
    charset = about.get("character_set_database", "")
    if charset != "utf8mb4":
        remedy = f"ALTER DATABASE {where.name} CHARACTER SET utf8mb4"
        yield Finding("warn", "database", f"its character set is {charset}, which takes no emoji", remedy)
    if about.get("innodb_flush_log_at_trx_commit", "1") != "1":
        says = "innodb_flush_log_at_trx_commit is not 1: a power cut can bring revoked sessions back"
        yield Finding(
            "fail", "database", says, "SET GLOBAL innodb_flush_log_at_trx_commit = 1, and in its settings file"
        )
    if about.get("log_bin") in ("on", "1") and about.get("sync_binlog") != "1":
        says = "sync_binlog is not 1: after a power cut a replica can know less"
        yield Finding("warn", "database", says, "SET GLOBAL sync_binlog = 1, and in its settings file")
    isolation = about.get("transaction_isolation") or about.get("tx_isolation", "")
    if isolation.startswith("read-uncommitted"):
        yield Finding("fail", "database", f"transactions are {isolation}", "use REPEATABLE-READ, which is the default")
    if about.get("read_only") in ("on", "1"):
        yield Finding("fail", "database", "it is read-only: nobody can log in", "DATABASE has to name the primary")
    if not about.get("ssl_cipher") and not is_loopback(where.host) and where.host != "localhost":
        yield Finding("warn", "database", "it is asked over the network without TLS", "keep it on a private network")


async def _sessions(backend: Backend) -> AsyncIterator[Finding]:
    await backend.sessions.ping()
    advice = await backend.sessions.advice()
    for each in advice:
        level: Level = "fail" if each.key in ("redis_evicts", "redis_too_old") else "warn"
        sentence, _, remedy = str(each).partition(". ")
        yield Finding(level, "sessions", sentence, remedy or _REDIS_REMEDIES.get(each.key, ""))
    if not advice:
        kept = "in Redis" if isinstance(backend.settings.sessions, RedisUrl) else "beside the users"
        yield Finding("ok", "sessions", f"sessions are {kept}, and safe there")


_REDIS_REMEDIES = {
    "redis_too_old": "upgrade Redis",
    "redis_open": "set requirepass or an ACL user, and name them in SESSIONS",
}


async def _operators(backend: Backend) -> AsyncIterator[Finding]:
    found = [each for each in await backend.operators.all() if each.state == "active"]
    bare = [each.name for each in found if not each.has_totp]
    if not found:
        remedy = "open the link that the server prints at its start, or run `operator add`"
        yield Finding("warn", "operators", "there is no operator yet: whoever has the link becomes the first", remedy)
    elif bare and not backend.settings.require_totp:
        says = f"{len(bare)} of {len(found)} operators have no second factor: {', '.join(bare[:5])}"
        yield Finding("warn", "operators", says, "set REQUIRE_TOTP, or have them set one up under My access")
    else:
        yield Finding("ok", "operators", f"{len(found)} operators, each with a second factor or held to set one up")


async def _audit(backend: Backend) -> AsyncIterator[Finding]:
    try:
        rows = await backend.audit.verify()
    except AuditBroken as broken:
        remedy = "find out who could write to the database, and compare with audit.log beside the data"
        yield Finding("fail", "audit", f"the chain is broken at {broken}", remedy)
    else:
        yield Finding("ok", "audit", f"the chain holds: {rows} rows")
