"""The bench counts right: what wrk says, ratios and spreads, the page; and it runs, with small counts and one peer."""

from collections.abc import Iterator

import pytest
import redis

from benchmarks.bench import __main__ as bench
from benchmarks.bench import growth, page
from benchmarks.bench.contestants import Peer
from benchmarks.bench.figures import Run, Spoilt, Spread, ratio, read_wrk, shown, shown_ms, shown_ratio, spread
from benchmarks.bench.stage import Contestant, Stage
from benchmarks.seed import Size

_WRK = """Running 1s test @ http://127.0.0.1:8000
  1 threads and 32 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency   296.45ms  185.63ms   1.00s    77.50%
    Req/Sec    83.44     49.74   170.00     66.67%
  Latency Distribution
     50%  812.00us
     75%    1.66ms
     90%  533.95ms
     99%    1.00s 
  80 requests in 1.03s, 36.32KB read
Requests/sec:     78.03
Transfer/sec:     35.43KB
"""  # noqa: W291  # wrk ends a time in seconds with a blank


class TestWhatWrkPrinted:
    def test_is_read_whole(self) -> None:
        assert read_wrk(_WRK) == (Run(78.03, 0.812, 1000.0), 80)

    @pytest.mark.parametrize("count", ["1", "79"])
    def test_spoils_a_run_in_which_somebody_was_refused(self, count: str) -> None:
        with pytest.raises(Spoilt):
            read_wrk(f"{_WRK}  Non-2xx or 3xx responses: {count}\n")

    def test_spoils_a_run_of_refusals_in_which_somebody_was_let_in(self) -> None:
        assert read_wrk(f"{_WRK}  Non-2xx or 3xx responses: 80\n", refused=True)[1] == 80
        with pytest.raises(Spoilt):
            read_wrk(f"{_WRK}  Non-2xx or 3xx responses: 79\n", refused=True)
        with pytest.raises(Spoilt):
            read_wrk(_WRK, refused=True)

    def test_spoils_a_run_with_broken_connections(self) -> None:
        with pytest.raises(Spoilt):
            read_wrk(f"{_WRK}  Socket errors: connect 0, read 1, write 0, timeout 0\n")

    def test_that_says_nothing_spoils_the_run(self) -> None:
        with pytest.raises(Spoilt):
            read_wrk("unable to connect")


def test_the_middle_of_runs_is_not_moved_by_one_that_was_disturbed() -> None:
    assert spread([10.0, 11.0, 2.0, 12.0, 10.5]) == Spread(10.5, 2.0, 12.0)


def test_a_ratio_compares_runs_of_one_round() -> None:
    # The second round was slow for everybody: that is no spread of the ratio.
    assert ratio([20.0, 10.0, 22.0], [10.0, 5.0, 10.0]) == Spread(2.0, 2.0, 2.2)
    with pytest.raises(ValueError, match=r"longer|shorter"):
        ratio([1.0, 2.0], [1.0])


@pytest.mark.parametrize(
    ("figure", "told"), [(0.0, "0"), (7.4, "7"), (987.6, "988"), (12_345.6, "12,300"), (99_960.0, "100,000")]
)
def test_a_rate_is_told_in_three_digits(figure: float, told: str) -> None:
    assert shown(figure) == told


def test_times_and_ratios_are_told_in_few_digits() -> None:
    assert [shown_ms(each) for each in (0.456, 1.234, 45.6)] == ["0.46", "1.2", "46"]
    assert shown_ratio(Spread(1.316, 1.28, 1.4)) == "1.32 × (1.28 to 1.40)"


class TestThePage:
    def test_keeps_what_stands_around_the_marks(self) -> None:
        before = f"# Title\n\n{page.BEGIN}\nold\n{page.END}\nafter\n"
        assert page.between(before, "new") == f"# Title\n\n{page.BEGIN}\n\nnew\n\n{page.END}\nafter\n"

    def test_without_marks_is_left_alone(self) -> None:
        with pytest.raises(ValueError, match="marks"):
            page.between("# Title\n", "new")

    def test_compares_everybody_with_the_first(self) -> None:
        runs = {"ours": [Run(200.0, 1.0, 2.0, 50.0)], "theirs": [Run(100.0, 3.0, 4.0, 99.0)]}
        told = page.tables({"verify": runs}, {}, {}, [], 60.0)
        assert "| theirs | 100 | 100 to 100 | 2.00 × (2.00 to 2.00) | 99 | 3.0 | 4.0 |" in told

    def test_of_the_project_has_its_marks(self) -> None:
        assert page.between(page.PAGE.read_text("utf-8"), "new")


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """Stores with few people, as the bench fills them."""
    on = Stage(tmp_path_factory.mktemp("bench"), Size(users=40, sessions=120))
    yield on
    on.clear()


@pytest.fixture(scope="module")
def contestants(stage: Stage) -> list[Contestant]:
    embedded = stage.menshen("embedded", stage.size)
    stage.start(embedded)
    return [Contestant("Menshen", embedded), *stage.peers(["plain Tornado"])]


def test_a_small_bench_runs_and_tells_what_it_saw(stage: Stage, contestants: list[Contestant]) -> None:
    only = ("verify", "login, new person", "sessions page")
    results, halves = bench.run_all(stage, contestants, rounds=1, seconds=1, only=only)
    told = page.tables(results, halves, growth.memory(contestants), [], 1.0)
    assert [(name, list(by_name)) for name, by_name in results.items()] == [
        ("verify", ["Menshen", "plain Tornado"]),
        ("login, new person", ["Menshen", "plain Tornado"]),
        ("sessions page", ["Menshen"]),
    ]
    assert all(run.rate > 0 and run.cpu_us > 0 for runs in results["verify"].values() for run in runs)
    assert "### Login, new person" in told


def test_a_peer_that_answers_otherwise_is_not_compared(stage: Stage, contestants: list[Contestant]) -> None:
    ours, peer = contestants
    assert isinstance(peer.server, Peer)
    bench.agree(contestants, stage)
    with redis.Redis.from_url(peer.server.addresses.redis) as client:
        client.flushdb()  # now it refuses what we let in
    with pytest.raises(bench.Disagreement, match="plain Tornado"):
        bench.agree([ours, peer], stage)


def test_the_bench_sees_how_a_server_grows(stage: Stage) -> None:
    [on_redis, embedded] = growth.measured(stage, 50)
    assert (on_redis.store, embedded.store) == ("MySQL + Redis", "embedded")
    for each in (on_redis, embedded):
        assert each.sessions == 50
        assert each.bytes_per_session > 100
        assert all(rate > 0 for rate in each.rates.values())
