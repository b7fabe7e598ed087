"""Where connections come in: listening sockets, and what happens when there is no room for anybody new.

Without a free file Tornado would try to accept again at once, for ever, and log each time; asyncio logs a traceback.
"""

import asyncio
import logging
import socket
from collections.abc import Callable, Iterable
from typing import Any

log = logging.getLogger("menshen.door")

_AT_A_TIME = 128  # connections, before others get their turn
_PAUSE_SECONDS = 0.5


class Entrance:
    """Lets people in through listening sockets."""

    def __init__(self, let_in: Callable[[socket.socket, Any], object]) -> None:
        """`let_in` gets each new connection and its address."""
        self._let_in = let_in
        self._doors: tuple[socket.socket, ...] = ()

    def open(self, doors: Iterable[socket.socket]) -> None:
        """Lets in whoever comes through these listening sockets, from now on."""
        fresh = tuple(doors)
        self._doors = (*self._doors, *fresh)
        for door in fresh:
            door.setblocking(False)
            self._watch(door)

    def close(self) -> None:
        """Lets nobody in any more; who is in stays."""
        for door in self._doors:
            asyncio.get_running_loop().remove_reader(door)
            door.close()
        self._doors = ()

    def _watch(self, door: socket.socket) -> None:
        if door in self._doors:  # and not closed meanwhile
            asyncio.get_running_loop().add_reader(door, self._accept, door)

    def _accept(self, door: socket.socket) -> None:
        for _ in range(_AT_A_TIME):
            try:
                connection, address = door.accept()
            except BlockingIOError:
                return
            except ConnectionAbortedError:
                continue
            except OSError as error:
                log.warning("nobody new can be let in for a moment: %s", error.strerror)
                loop = asyncio.get_running_loop()
                loop.remove_reader(door)
                loop.call_later(_PAUSE_SECONDS, self._watch, door)
                return
            self._let_in(connection, address)
