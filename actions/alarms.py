"""Tells people of trouble: once for each cause and hour, and once more when it is over.

What was told stands in a file in DATA_DIR, so that the processes of one machine do not repeat each other; a database
could not keep it, because its own absence is one of the causes. Robots of WeCom, DingTalk and Feishu, and mail.
"""

import asyncio
import fcntl
import json
import logging
import os
import shutil
import socket
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import msgspec

from actions import webhooks
from actions.robots import Channel, NotTold

if TYPE_CHECKING:
    from actions.backend import Backend

log = logging.getLogger("menshen.alarms")
T = TypeVar("T")

FILE_NAME = "alarms.json"
AGAIN_SECONDS = 3_600
AWAY_SECONDS = 60
ATTACK_SECONDS = 900  # after the last locked sign-in an attack counts as over
LEAST_FREE_SHARE = 0.05
LEAST_FREE_BYTES = 200 * 1024 * 1024
_TRIES_AFTER_SECONDS = (0.0, 5.0, 30.0)

# Each cause as it begins and as it ends, in the languages of the setting LANGUAGE.
_WORDS: Mapping[str, Mapping[str, tuple[str, str]]] = {
    "en": {
        "config": (
            "WeChat refuses the configuration of {what}: nobody can log in there. The page Apps says what to do.",
            "WeChat takes the configuration of {what} again.",
        ),
        "database": ("The user database has not answered for a minute.", "The user database answers again."),
        "sessions": ("The session store has not answered for a minute.", "The session store answers again."),
        "full": (
            "The user database takes nothing new: nobody can log in. Who is in stays in, and can be put out. Make room "
            "on its disk.",
            "The user database takes new data again.",
        ),
        "disk": ("The disk is nearly full: {what}.", "The disk has room again."),
        "signin": (
            "Somebody guesses at operators' passwords, and further tries have to wait.",
            "Nobody guesses at operators' passwords any more.",
        ),
    },
    "zh_CN": {
        "config": (
            "微信拒绝了 {what} 的配置，该小程序无法登录。处理办法见管理后台“小程序”页。",
            "微信已重新接受 {what} 的配置。",
        ),
        "database": ("用户数据库已有一分钟没有响应。", "用户数据库已恢复响应。"),
        "sessions": ("会话存储已有一分钟没有响应。", "会话存储已恢复响应。"),
        "full": (
            "用户数据库已无法写入新数据，任何人都不能登录。已登录的用户不受影响，下线操作照常可用。请清理它所在的磁盘。",
            "用户数据库已恢复写入。",
        ),
        "disk": ("磁盘即将写满：{what}。", "磁盘空间已恢复。"),
        "signin": ("有人在猜测操作员的密码，后续尝试已被延缓。", "猜测操作员密码的行为已停止。"),
    },
}


class Cause(msgspec.Struct, frozen=True):
    """Something that is wrong. `kind` has the words, `name` tells several of a kind apart, `what` fills the words."""

    kind: str
    name: str = ""
    what: str = ""
    errcode: int | None = None

    @property
    def key(self) -> str:
        """Under which it is remembered."""
        return f"{self.kind}:{self.name}" if self.name else self.kind


@dataclass
class Told:
    """What is remembered of a cause: when it was told last, whether it goes on, and whether this time was told."""

    at: int = 0
    on: bool = False
    told: bool = False


@dataclass
class Memory:
    """What the processes of this machine have told; a disk that takes nothing makes it this process's own."""

    path: Path
    _own: dict[str, Told] = field(default_factory=dict)

    def begin(self, key: str, now: int) -> bool:
        """It is wrong. Gives whether that is to be told."""

        def change(known: dict[str, Told]) -> bool:
            entry = known.setdefault(key, Told())
            if now - entry.at < AGAIN_SECONDS and entry.at <= now:
                entry.told = entry.told and entry.on
                entry.on = True
                return False
            known[key] = Told(now, on=True, told=True)
            return True

        return self._with(change)

    def end(self, key: str) -> bool:
        """It is right again. Gives whether that is to be told."""

        def change(known: dict[str, Told]) -> bool:
            entry = known.get(key)
            if entry is None or not entry.on:
                return False
            entry.on = False
            return entry.told

        return self._with(change)

    def going_on(self) -> set[str]:
        """What was wrong when somebody looked last."""
        return self._with(lambda known: {key for key, entry in known.items() if entry.on})

    def _with(self, change: Callable[[dict[str, Told]], T]) -> T:
        try:
            return self._in_file(change)
        except (OSError, ValueError, TypeError, AttributeError):  # it cannot be read, or is none of ours
            return change(self._own)

    def _in_file(self, change: Callable[[dict[str, Told]], T]) -> T:
        """Reads, changes and writes the file while no other process does."""
        with os.fdopen(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600), "r+") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            text = file.read()
            known = {key: Told(**entry) for key, entry in json.loads(text or "{}").items()}
            outcome = change(known)
            self._own = known
            after = json.dumps({key: asdict(entry) for key, entry in known.items()})
            if after != text:
                file.seek(0)
                file.write(after)
                file.truncate()
            return outcome


class Alarms:
    """The causes of one process, and whom it tells."""

    def __init__(
        self,
        folder: Path,
        channels: list[Channel],
        language: str,
        place: str | None = None,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """`place` is what this server is called in a message, the machine's name unless given."""
        self._folder = folder
        self._memory = Memory(folder / FILE_NAME)
        self._channels = channels
        self._words = _WORDS[language]
        self._place = place or socket.gethostname()
        self._pause = pause
        self._on: dict[str, Cause] | None = None
        self._attacked_at: int | None = None
        self._sending: set[asyncio.Task[None]] = set()

    def attacked(self, now: int) -> None:
        """Somebody has guessed at an operator's password until he had to wait."""
        self._attacked_at = now

    async def look(self, backend: "Backend") -> None:
        """Compares what is wrong now with what was; called every few seconds."""
        now = backend.now()
        if self._on is None:
            kept = await asyncio.to_thread(self._memory.going_on)
            # Only what every process sees alike: of WeChat's refusals and of guesses each knows its own.
            self._on = {key: Cause(key) for key in kept if key in ("database", "sessions", "full", "disk")}
        wrong = {cause.key: cause for cause in self._causes(backend, now)}
        for key, cause in wrong.items():
            if await asyncio.to_thread(self._memory.begin, key, now):
                await self._begun(backend, cause)
        for key in self._on.keys() - wrong.keys():
            if await asyncio.to_thread(self._memory.end, key):
                self._tell(self._sentence(self._on[key], over=True))
        self._on = wrong

    async def _begun(self, backend: "Backend", cause: Cause) -> None:
        self._tell(self._sentence(cause, over=False))
        if cause.kind == "config":
            await webhooks.tell(backend, "wechat.config_error", cause.name, errcode=cause.errcode)

    def _causes(self, backend: "Backend", now: int) -> list[Cause]:
        found = []
        for app in backend.settings.apps:
            refused = backend.wechat.state(app.appid).refused
            if refused is not None:
                found.append(Cause("config", app.appid, str(app), refused.errcode))
        away = [each for each in backend.health.stores if not each.answers and now - each.since >= AWAY_SECONDS]
        found += [Cause(store.name) for store in away]
        if backend.db.full:
            found.append(Cause("full"))
        if self._attacked_at is not None and now - self._attacked_at < ATTACK_SECONDS:
            found.append(Cause("signin"))
        return found + self._full_disks()

    def _full_disks(self) -> list[Cause]:
        try:
            usage = shutil.disk_usage(self._folder)
        except OSError:
            return []
        if usage.free >= min(LEAST_FREE_SHARE * usage.total, LEAST_FREE_BYTES):
            return []
        return [Cause("disk", what=f"{usage.free // 2**20} MiB")]

    def _sentence(self, cause: Cause, *, over: bool) -> str:
        return f"[Menshen {self._place}] {self._words[cause.kind][over].format(what=cause.what)}"

    def _tell(self, text: str) -> None:
        """In the background: whoever looks after the causes does not wait for a robot."""
        log.warning("%s", text)
        for channel in self._channels:
            task = asyncio.get_running_loop().create_task(self._send(channel, text))
            self._sending.add(task)  # the loop itself keeps only weak references to tasks
            task.add_done_callback(self._sending.discard)

    async def _send(self, channel: Channel, text: str) -> None:
        why = ""
        for seconds in _TRIES_AFTER_SECONDS:
            await self._pause(seconds)
            try:
                await channel.tell(text)
            except NotTold as refused:
                why = str(refused)
            else:
                return
        log.error("an alarm did not reach %s: %s", channel.name, why)

    async def close(self) -> None:
        """Gives up what is still under way."""
        for task in self._sending:
            task.cancel()
        await asyncio.gather(*self._sending, return_exceptions=True)
