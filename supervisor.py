"""What systemd and its like hand to this program, and want to hear: open sockets; ready, alive, ending.

The protocol is sd_notify(3) and sd_listen_fds(3): a datagram to NOTIFY_SOCKET, and sockets from descriptor 3 on.
"""

import asyncio
import contextlib
import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

_FIRST = 3
_UNPACKED = bool(getattr(sys, "frozen", False))
_PATIENCE_SECONDS = 0.5
_READY_SECONDS = 5.0  # a server that has not said this word is taken for one that failed
_OWN_NAME = "admin"  # FileDescriptorName= of the operators' own listener


def tell(words: str, seconds: float = _PATIENCE_SECONDS) -> None:
    """Tells the supervisor, if there is one: `READY=1`, `WATCHDOG=1`, `STOPPING=1`. Raises nothing.

    One that does not listen lets some words wait (ten on Linux, max_dgram_qlen in unix(7)), then whoever has another
    one: for `seconds` at the most, and then it is lost. Everybody waits meanwhile, for this is the event loop.
    """
    where = os.environ.get("NOTIFY_SOCKET", "")
    if not where:
        return
    address = "\0" + where[1:] if where.startswith("@") else where
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as way:
        way.settimeout(seconds)
        way.connect(address)
        way.send(words.encode("ascii"))


def tell_ready() -> None:
    """Says that requests are answered; of the single file also by which process, as it is not the one started."""
    tell(f"MAINPID={os.getpid()}\nREADY=1" if _UNPACKED else "READY=1", _READY_SECONDS)


async def say_alive() -> None:
    """Says twice in each WatchdogSec= that the loop turns; a loop that hangs is silent, and is started anew."""
    try:
        seconds = int(os.environ.get("WATCHDOG_USEC", "0")) / 1_000_000
    except ValueError:
        return
    while seconds:
        tell("WATCHDOG=1", seconds=0)
        await asyncio.sleep(seconds / 2)


def inherited() -> tuple[list[socket.socket], list[socket.socket]]:
    """The sockets that were opened for this process: everybody's, and those of the name `admin`. Both may be empty.

    They outlive a restart, so that nobody is refused meanwhile.
    """
    if os.environ.pop("LISTEN_PID", "") not in map(str, _own_processes()):
        return [], []
    count = int(os.environ.pop("LISTEN_FDS", "0"))
    names = os.environ.pop("LISTEN_FDNAMES", "").split(":")
    public: list[socket.socket] = []
    own: list[socket.socket] = []
    for n in range(count):
        found = socket.socket(fileno=_FIRST + n)
        found.setblocking(False)
        os.set_inheritable(found.fileno(), False)
        (own if names[n : n + 1] == [_OWN_NAME] else public).append(found)
    return public, own


def _own_processes() -> Iterator[int]:
    """This process, and of the single file also the two above it, which unpack it: one of them is what was started."""
    pid = os.getpid()
    yield pid
    for _ in range(2 if _UNPACKED else 0):
        pid = int(Path(f"/proc/{pid}/stat").read_text("ascii", "replace").rpartition(")")[2].split()[1])
        yield pid
