"""The load: wrk on a core of its own, with requests that are written down before it begins."""

import json
import os
import random
import shutil
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from children import Child

from benchmarks.bench.figures import Run, Spoilt, read_wrk
from benchmarks.bench.peers.wechat import OPENID_LENGTH

SERVER_CORE, LOAD_CORE = "0", "1"
CONNECTIONS = 32
_CONNECTIONS_AT_HALF = 64
_OPERATORS = 4
_REPEATS = 2
_AGENT = "Mozilla/5.0 (Linux; Android 14; Pixel 7) AppleWebKit/537.36 MicroMessenger/8.0.49 MiniProgramEnv/android"
_TICKS = os.sysconf("SC_CLK_TCK")
_CODES_OF_A_RUN = 100_000_000  # every code and every new person of a bench is another one


@dataclass(frozen=True)
class Script:
    """What wrk is to ask: Lua that defines `next_request`; `refused` when all that comes back are refusals."""

    lua: str
    refused: bool = False
    connections: int = CONNECTIONS


_ROUND = """
local requests = {%s}
local n = 0
function next_request()
  n = n %% #requests + 1
  return requests[n]
end
"""

_LOGIN = """
local openids = {%s}
local n = 0
function next_request()
  n = n + 1
  local unique = string.format("%%027d", first + n)
  local openid = #openids > 0 and openids[n %% #openids + 1] or "o" .. unique
  return %s .. openid .. unique .. %s
end
"""

# os.time and the like stay out of it: what is asked is the same in each bench.
_FRAME = """
local first, longest_pause = 0, 0
function init(args) first = tonumber(args[1]); longest_pause = tonumber(args[2]); math.randomseed(first) end
%s
function request() return next_request() end
"""
_PAUSES = "function delay() return math.random(0, longest_pause) end\n"


def asking(method: str, path: str, fields: Sequence[str] = (), body: str = "") -> str:
    """One request as it goes over the wire."""
    sent = [f"Host: 127.0.0.1\r\nUser-Agent: {_AGENT}", *fields]
    if body:
        sent.append(f"Content-Type: application/json\r\nContent-Length: {len(body)}")
    return f"{method} {path} HTTP/1.1\r\n" + "\r\n".join(sent) + f"\r\n\r\n{body}"


def in_turn(requests: Sequence[str], *, refused: bool = False, connections: int = CONNECTIONS) -> Script:
    """These requests one after the other, and again."""
    return Script(_ROUND % ",".join(_quoted(each) for each in requests), refused, connections)


def looking_at(path: str, cookie: str) -> Script:
    """A page of the dashboard, as few people look at it: more lists than that wait in a line with an end."""
    return in_turn([asking("GET", path, [f"Cookie: {cookie}"])], connections=_OPERATORS)


def verifies(tokens: Sequence[str], *, refused: bool = False) -> Script:
    """GET /api/verify with each of these tokens in turn."""
    return in_turn(
        [asking("GET", "/api/verify", [f"Authorization: Bearer {each}"]) for each in tokens], refused=refused
    )


def logins(openids: Sequence[str]) -> Script:
    """POST /api/login, each with a code that was never used; of these people, or each time of somebody new."""
    marker = "c" * (OPENID_LENGTH + 27)
    head, _, tail = asking("POST", "/api/login", body=json.dumps({"code": marker})).partition(marker)
    return Script(_LOGIN % (",".join(_quoted(each) for each in openids), _quoted(head), _quoted(tail)))


def _quoted(text: str) -> str:
    return json.dumps(text)  # of plain ASCII both languages write the same


class Loader:
    """Runs wrk; no two runs of one loader send the same code."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._runs = 0

    def run(self, server: Child, base: str, script: Script, seconds: int) -> Run:
        """As much as the server takes. A run that a neighbour on the machine has spoilt is repeated. Raises Spoilt."""
        for _ in range(_REPEATS):
            with suppress(Spoilt):
                return self._measured(server, base, script, seconds, script.connections, 0)
        return self._measured(server, base, script, seconds, script.connections, 0)

    def at_half(self, server: Child, base: str, script: Script, seconds: int, full: Run) -> Run:
        """About half of what it took in `full`: every connection waits a while of random length before it asks."""
        pause_ms = 1000 * _CONNECTIONS_AT_HALF / (full.rate / 2) - full.p50_ms / 4
        return self._measured(server, base, script, seconds, _CONNECTIONS_AT_HALF, max(1, round(2 * pause_ms)))

    def _measured(
        self, server: Child, base: str, script: Script, seconds: int, connections: int, longest_pause_ms: int
    ) -> Run:
        self._runs += 1
        file = self._folder / "load.lua"
        file.write_text(_FRAME % script.lua + (_PAUSES if longest_pause_ms else ""), "ascii")
        command = ["taskset", "-c", LOAD_CORE, "wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency"]
        command += ["-s", str(file), base, "--", str(self._runs * _CODES_OF_A_RUN), str(longest_pause_ms)]
        before = cpu_seconds(server.pid)
        done = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603  # our own words
        spent = cpu_seconds(server.pid) - before
        found, count = read_wrk(done.stdout, refused=script.refused)
        return replace(found, cpu_us=1e6 * spent / count)


def cpu_seconds(root: int) -> float:
    """What a process and all that descend from it have used so far."""
    return sum(int(stat[11]) + int(stat[12]) for stat in _family(root).values()) / _TICKS


def resident_bytes(root: int) -> int:
    """What a process and all that descend from it have in memory, each counted whole."""
    return sum(int(stat[21]) for stat in _family(root).values()) * os.sysconf("SC_PAGE_SIZE")


def _family(root: int) -> dict[int, list[str]]:
    """The fields of proc(5)'s stat from the state on, by process; PHP-FPM leaves its process group and its session."""
    stats = dict[int, list[str]]()
    for file in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it ended while it was looked at
            stats[int(file.parent.name)] = file.read_text("ascii", "replace").rpartition(")")[2].split()
    found, fresh = dict[int, list[str]](), {root}
    while fresh:
        found |= {pid: stats[pid] for pid in fresh if pid in stats}
        fresh = {pid for pid, stat in stats.items() if int(stat[1]) in fresh}
    return found


def garbage_tokens(count: int) -> list[str]:
    """Texts that are no tokens, as strangers send them."""
    dice = random.Random(7)
    return [f"{dice.getrandbits(64):016x}" for _ in range(count)]


def wrk_is_here() -> bool:
    """Whether the load can be made at all."""
    return shutil.which("wrk") is not None
