"""Measures what people, sessions and requests cost, and writes what a hundred million of them would take.

A real server on a private MariaDB and Redis, filled with many people; then logins and verifies by wrk. The page is
docs/growing.md; what the table supposes about people stands beside it there.
"""

import argparse
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from children import Child
from product import ROOT

from benchmarks.bench.growth import kept_bytes
from benchmarks.bench.load import Loader, Script, cpu_seconds, logins, verifies
from benchmarks.bench.stage import Stage
from benchmarks.seed import Size

PAGE = ROOT / "docs" / "growing.md"
BEGIN, END = "<!-- figures of make capacity -->", "<!-- end of figures -->"
PEOPLE = (100_000, 1_000_000, 10_000_000, 100_000_000)
SESSIONS_EACH, SESSION_DAYS, LOGIN_DAYS = 2.5, 7, 190  # a person's; SESSION_SECONDS and RETENTION_DAYS as they are set
ACTIVE, VERIFIES_A_DAY, BUSY = 0.1, 20, 5  # of the people each day; each of them; the busy hour over the mean one
GB = 10**9
_DAY_SECONDS = 86_400
_SECONDS = 6


@dataclass(frozen=True)
class Costs:
    """What one of each takes: bytes in Redis and in MariaDB, and the processors' microseconds."""

    session_bytes: float
    person_bytes: float
    login_bytes: float
    verify_us: float
    login_us: float
    login_mariadb_us: float
    login_redis_us: float
    verify_redis_us: float

    def sentence(self) -> str:
        """The figures themselves."""
        return (
            f"Measured, with all indexes: a session is {self.session_bytes:.0f} bytes in Redis; a person is "
            f"{self.person_bytes:.0f} and a login {self.login_bytes:.0f}\nbytes in MariaDB. A verify takes "
            f"{self.verify_us:.0f} µs of a core in Menshen and {self.verify_redis_us:.0f} in Redis; a login takes "
            f"{self.login_us:,.0f},\n{self.login_redis_us:.0f} in Redis and {self.login_mariadb_us:.0f} in MariaDB."
        )

    def row(self, people: int) -> str:
        """What so many people take, as a line of the table."""
        sessions = people * SESSIONS_EACH
        memory = sessions * self.session_bytes / GB
        disk = people * (self.person_bytes + SESSIONS_EACH / SESSION_DAYS * LOGIN_DAYS * self.login_bytes) / GB
        verifies_a_second = people * ACTIVE * VERIFIES_A_DAY * BUSY / _DAY_SECONDS
        logins_a_second = sessions / SESSION_DAYS * BUSY / _DAY_SECONDS

        def cores(verify_us: float, login_us: float) -> str:
            return _rough((verifies_a_second * verify_us + logins_a_second * login_us) / 1e6)

        cells = [
            *(f"{people:,}", f"{sessions:,.0f}", f"{verifies_a_second:,.0f} / {logins_a_second:,.0f}"),
            *(f"{_rough(each)} GB" for each in (memory, memory * 1.5, disk)),
            cores(self.verify_us, self.login_us),
            cores(self.verify_redis_us, self.login_redis_us),
            cores(0, self.login_mariadb_us),
        ]
        return f"| {' | '.join(cells)} |"

    def lines(self) -> Iterator[str]:
        """What stands on the page."""
        yield self.sentence()
        yield ""
        yield (
            "| people with a session | sessions | verifies / logins a second | in Redis | memory to plan | in MariaDB "
            "| cores of Menshen | of Redis | of MariaDB |"
        )
        yield "|---|---|---|---|---|---|---|---|---|"
        for people in PEOPLE:
            yield self.row(people)


def _rough(amount: float) -> str:
    """Two digits of it, since no more is known; 0.1 for all below."""
    return f"{float(f'{max(amount, 0.1):.2g}'):,g}"


def measured(folder: Path, people: int) -> Costs:
    """Fills the stores, loads the server, and says what each thing took."""
    size = Size(users=people, sessions=int(people * SESSIONS_EACH))
    stage = Stage(folder, size)
    try:
        before = kept_bytes(stage)
        server = stage.menshen("menshen", size, **stage.on_stores())
        session_bytes = (kept_bytes(stage) - before) / size.sessions
        database = str(server.settings["DATABASE"]).rpartition("/")[2]
        person, login = (_row_bytes(stage, database, table) for table in ("user", "login"))
        stage.start(server)
        everybody = {"menshen": server, "redis": stage.redis, "mariadb": stage.mariadb}
        loader = Loader(server.folder)
        verify = _spent(loader, everybody, server.base, verifies(stage.tokens()))
        logged_in = _spent(loader, everybody, server.base, logins(stage.openids()[:1_000]))
        return Costs(
            session_bytes,
            person,
            login,
            verify["menshen"],
            logged_in["menshen"],
            logged_in["mariadb"],
            logged_in["redis"],
            verify["redis"],
        )
    finally:
        stage.clear()


def _row_bytes(stage: Stage, database: str, table: str) -> float:
    """What a row takes on the disk, its places in the indexes included."""
    stage.mariadb.query(f"ANALYZE TABLE {table}", database=database)
    sizes = (
        "SELECT data_length + index_length FROM information_schema.tables WHERE table_schema = %s AND table_name = %s"
    )
    [[size]] = stage.mariadb.query(sizes, (database, table))
    [[rows]] = stage.mariadb.query(f"SELECT COUNT(*) FROM {table}", database=database)
    return int(size) / int(rows)


def _spent(loader: Loader, children: dict[str, Child], base: str, script: Script) -> dict[str, float]:
    """The processors' microseconds that each of them took for one answer."""
    before = {name: cpu_seconds(child.pid) for name, child in children.items()}
    run = loader.run(children["menshen"], base, script, _SECONDS)
    spent = {name: cpu_seconds(child.pid) - before[name] for name, child in children.items()}
    return {name: run.cpu_us * each / spent["menshen"] for name, each in spent.items()}


def main() -> None:
    """Measures and writes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--people", type=int, default=100_000, help="how many to measure with")
    parser.add_argument("--keep-page", action="store_true", help="print the figures and leave the page as it is")
    at = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="menshen-capacity-") as folder:
        figures = "\n".join(measured(Path(folder), at.people).lines())
    print(figures)
    if not at.keep_page:
        said = PAGE.read_text("utf-8")
        begin, end = said.index(BEGIN) + len(BEGIN), said.index(END, said.index(BEGIN))
        PAGE.write_text(f"{said[:begin]}\n{figures}\n{said[end:]}", "utf-8")


if __name__ == "__main__":
    main()
