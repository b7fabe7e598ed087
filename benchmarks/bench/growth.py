"""What grows with the number of sessions, and what must not: memory, bytes, the time to start, answers in a second."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from product import Product

from benchmarks.bench.figures import Spoilt
from benchmarks.bench.load import Loader, Script, logins, looking_at, resident_bytes, verifies
from benchmarks.bench.stage import Contestant, Stage, passed
from benchmarks.seed import Size

_SECONDS = 2


@dataclass(frozen=True)
class Grown:
    """What one number of sessions makes of a server on one kind of store."""

    store: str
    sessions: int
    bytes_per_session: float  # in the session store: Redis's memory, or the file with people and facts besides
    start_seconds: float
    resident_bytes: int  # after the load
    rates: Mapping[str, float]


def memory(contestants: Sequence[Contestant]) -> dict[str, int]:
    """Bytes in memory of each server before it was asked anything much."""
    return {each.name: resident_bytes(each.server.pid) for each in contestants}


def measured(stage: Stage, sessions: int) -> list[Grown]:
    """Fill both kinds of stores with so many sessions and see how Menshen is on them."""
    return [_on_redis(stage, sessions), _embedded(stage, sessions)]


def _on_redis(stage: Stage, sessions: int) -> Grown:
    before = kept_bytes(stage)
    server = stage.menshen(f"grown-stores-{sessions}", _size(sessions), PARSER="llhttp", **stage.on_stores())
    return _seen(stage, "MySQL + Redis", server, sessions, (kept_bytes(stage) - before) / sessions)


def kept_bytes(stage: Stage) -> int:
    """What Redis needs for keys and values; its clients' buffers come and go, and are left out."""
    with stage.redis.client() as client:
        stats = client.memory_stats()
    tables = (each for name, each in stats.items() if name.startswith("db."))
    return int(stats["dataset.bytes"]) + sum(sum(each.values()) for each in tables)


def _embedded(stage: Stage, sessions: int) -> Grown:
    server = stage.menshen(f"grown-embedded-{sessions}", _size(sessions), PARSER="llhttp")
    bytes_of_file = (server.data_dir / "menshen.db").stat().st_size
    return _seen(stage, "embedded", server, sessions, bytes_of_file / sessions)


def _size(sessions: int) -> Size:
    return Size(users=max(1, sessions * 2 // 5), sessions=sessions)


def _seen(stage: Stage, store: str, server: Product, sessions: int, bytes_per_session: float) -> Grown:
    began = time.monotonic()
    stage.start(server)
    start_seconds = time.monotonic() - began
    try:
        loader = Loader(server.folder)
        cookie = passed(server).cookie
        scripts = {
            "verify": verifies(stage.tokens()[:sessions]),
            "login, new person": logins([]),
            "sessions page": looking_at("/admin/sessions", cookie),
            "overview": looking_at("/admin/", cookie),
        }
        rates = {name: _rate(loader, server, script) for name, script in scripts.items()}
        return Grown(store, sessions, bytes_per_session, start_seconds, resident_bytes(server.pid), rates)
    finally:
        server.kill()


def _rate(loader: Loader, server: Product, script: Script) -> float:
    """Answers in a second; none when not all of them were answers."""
    try:
        return loader.run(server, server.base, script, _SECONDS).rate
    except Spoilt as spoilt:
        print(f"{server.folder.name} did not answer as it should:\n{spoilt}", flush=True)
        return 0.0
