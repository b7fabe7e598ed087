"""The fixtures, and what each of them is.

An engine, a browser or a server starts when the first selected test needs it, and ends with the run.

| fixture          | for        | gives                                                                              |
|------------------|------------|------------------------------------------------------------------------------------|
| ``io_loop``      | a test     | the event loop that ``@pytest.mark.gen_test`` runs the test on                     |
| ``network``      | a test     | connections to ask any URL: ``await network.ask("GET", url)``                      |
| ``mariadb``      | the run    | a private MariaDB: ``served()`` has our tables, ``database()`` is empty; stop, thaw  |
| ``redis_server`` | the run    | a private Redis, likewise: ``url()``, ``client()``                                 |
| ``backend``      | the run    | once SQLite, once MariaDB + Redis: ``fresh()`` gives settings with empty stores    |
| ``wechat``       | a test     | WeChat (the simulator), reset before each test: faults, clock, users, log          |
| ``server``       | a test     | a shared running Menshen, once on each backend                                     |
| ``embedded``     | a test     | a shared running Menshen on SQLite alone                                           |
| ``dev``          | a test     | a shared running ``serve --dev``, with its playground and simulator                |
| ``make_server``  | a test     | Menshens of the test's own: ``make_server(SESSION_SECONDS=60, **backend.fresh())`` |
| ``file_server``  | a file     | the same for all tests of a file; its logs are searched when the file is done      |
| ``two_servers``  | a test     | two Menshens on one MariaDB + Redis: ``first, second = two_servers(LOGIN_LIMIT=3)`` |
| ``phone``        | a test     | a new person at ``server`` when the test names it, else at ``embedded``            |
| ``phones``       | a test     | many: ``phones(3)``; elsewhere: ``phones(3, at=make_server())``                    |
| ``chromium``     | a test     | the run's browser: ``page = await chromium.new_page()``                              |

Engines and shared servers that a test left frozen or dead are healed after it; every server's log is searched for
tracebacks, secrets, tokens and codes. pytest-tornado takes no async fixtures, so fixtures use ``io_loop.run_sync``.
"""

import asyncio
import shutil
import signal
import tempfile
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import browser
import hypothesis  # noqa: F401  # at the end of a run CPython 3.11 sometimes fails to compile it, so it is compiled now
import pytest
import room
from backends import BACKENDS, Backend
from children import Child
from phone import Door, Network, Phone, WeChat
from playwright.async_api import Browser
from product import APPID, APPSECRET, DevServer, Product, Program, Simulator
from servers import MariaDB, RedisServer, missing_packages
from tornado.ioloop import IOLoop

# A shared server meets more logins in a minute than any address in earnest; tests of the limits make their own.
NO_LIMITS = {"LOGIN_LIMIT": 0, "UNKNOWN_TOKEN_LIMIT": 0}
_SHOWN_CHARACTERS = 3000


def pytest_configure() -> None:
    """Let a polite end (SIGTERM) be as tidy as Ctrl-C, and files lie in memory where there is room."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    room.settle()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_finish(session: pytest.Session) -> None:
    """End the run before its first test when a server that some test needs is not installed."""
    if session.config.option.collectonly:
        return
    needed = {name for item in session.items if isinstance(item, pytest.Function) for name in _engines_of(item)}
    missing = missing_packages(needed)
    told: dict[str, Any] | None = getattr(session.config, "workeroutput", None)
    if missing and told is not None:  # one of several processes: the first of them ends the run
        told["missing"] = missing
        session.items.clear()
    elif missing:
        _end_for_want_of(missing)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """End the run when one of its processes found that a server is not installed."""
    missing = getattr(node, "workeroutput", {}).get("missing")
    if missing:
        _end_for_want_of(missing)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show beside a failure what our programs logged last while the test ran."""
    report = yield
    for program in Program.made if report.failed else ():
        if program.log_path.exists() and program.log_path.stat().st_mtime >= report.start:
            report.sections.append((f"log of {program.folder.name}", program.log_since_start()[-_SHOWN_CHARACTERS:]))
    return report


def _end_for_want_of(packages: list[str]) -> NoReturn:
    pytest.exit(f"The selected tests need: apt-get install {' '.join(packages)}", returncode=1)


def _engines_of(item: pytest.Function) -> set[str]:
    """Return the fixtures of a test, those included that one of its parameters asks for at run time."""
    parameters = item.name.partition("[")[2]
    asked = {fixture for word, fixture in (("mariadb", "mariadb"), ("redis", "redis_server")) if word in parameters}
    return asked | set(item.fixturenames)


@pytest.fixture
def io_loop(request: pytest.FixtureRequest) -> Iterator[IOLoop]:
    """Give the test an event loop of its own, or the browser's when it has one."""
    if "chromium" in request.fixturenames:
        loop = request.getfixturevalue("browser_loop")
        asyncio.set_event_loop(loop.asyncio_loop)
        yield loop
        asyncio.set_event_loop(None)
    else:
        yield from _new_loop()


@pytest.fixture(scope="session")
def browser_loop() -> Iterator[IOLoop]:
    """Give the run's browser a loop: Playwright's objects belong to one."""
    yield from _new_loop()


def _new_loop() -> Iterator[IOLoop]:
    """Make a loop and close it; the plugin's fixture uses calls that Tornado has deprecated."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)

    async def current() -> IOLoop:
        return IOLoop.current()

    tornado_loop = loop.run_until_complete(current())
    yield tornado_loop
    asyncio.set_event_loop(None)
    tornado_loop.close(all_fds=True)


@pytest.fixture
def network(io_loop: IOLoop) -> Iterator[Network]:
    """Give the test connections, and close them after it."""
    network = Network()
    yield network
    io_loop.run_sync(network.close)


@pytest.fixture(scope="session")
def folder() -> Iterator[Path]:
    """Give the run a folder that only this user can read, and remove it at the end."""
    path = Path(tempfile.mkdtemp(prefix="menshen-"))
    yield path
    shutil.rmtree(path)


@pytest.fixture(scope="session")
def children(folder: Path) -> Iterator[list[Child]]:
    """Keep what was started for the whole run, and end it before its folder goes."""
    started: list[Child] = []
    yield started
    for child in reversed(started):
        child.kill()  # the data goes with the folder, so nothing is gained by a polite end


@pytest.fixture(scope="session")
def mariadb(folder: Path, children: list[Child]) -> MariaDB:
    """Start the private MariaDB."""
    server = MariaDB(folder / "mariadb")
    children.append(server)
    server.start()
    return server


@pytest.fixture(scope="session")
def redis_server(folder: Path, children: list[Child]) -> RedisServer:
    """Start the private Redis."""
    server = RedisServer(folder / "redis")
    children.append(server)
    server.start()
    return server


@pytest.fixture(autouse=True)
def healed(children: list[Child]) -> Iterator[None]:
    """Give the next test engines and shared servers that run, whatever this one did to them."""
    yield
    healed = [child for child in children if child.heal()]
    # A server lets nobody in before it has told a Redis that restarted what it may have lost.
    for child in children if healed else ():
        if isinstance(child, Product):
            child.wait_until_it_serves()


@pytest.fixture(scope="session", params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> Backend:
    """Name the stores a server runs on."""
    if request.param == BACKENDS[0]:
        return Backend(request.param)
    return Backend(request.param, request.getfixturevalue("mariadb"), request.getfixturevalue("redis_server"))


@pytest.fixture(scope="session")
def simulator(folder: Path, children: list[Child]) -> Simulator:
    """Start the WeChat simulator."""
    program = Simulator(folder / "wechat", {})
    children.append(program)
    program.start()
    return program


@pytest.fixture
def wechat(simulator: Simulator, network: Network, io_loop: IOLoop) -> WeChat:
    """Give the test a WeChat that remembers nothing."""
    wechat = WeChat(simulator.base, network)
    io_loop.run_sync(wechat.reset)
    return wechat


@pytest.fixture(scope="session")
def shared_server(folder: Path, children: list[Child], simulator: Simulator) -> Callable[[Backend], Product]:
    """Return the one running Menshen of each backend."""
    running: dict[str, Product] = {}

    def server_on(backend: Backend) -> Product:
        if backend.name not in running:
            settings = {**_at(simulator), **NO_LIMITS, **backend.fresh()}
            product = Product(folder / f"server-{len(running)}", settings)
            children.append(product)
            product.start()
            running[backend.name] = product
        return running[backend.name]

    return server_on


def _at(simulator: Simulator) -> dict[str, object]:
    """Return the settings of a server whose WeChat is the simulator."""
    return {"WECHAT_BASE": simulator.base, "APPID": APPID, "APPSECRET": APPSECRET}


@pytest.fixture
def server(shared_server: Callable[[Backend], Product], backend: Backend) -> Iterator[Product]:
    """Give the test a running Menshen that other tests use too, on each backend."""
    product = shared_server(backend)
    yield product
    product.check_log()


@pytest.fixture
def embedded(shared_server: Callable[[Backend], Product]) -> Iterator[Product]:
    """Give the test a running Menshen that other tests use too, on SQLite."""
    product = shared_server(Backend(BACKENDS[0]))
    yield product
    product.check_log()


@pytest.fixture(scope="session")
def running_dev(folder: Path, children: list[Child]) -> DevServer:
    """Start the one `serve --dev` of the run."""
    server = DevServer(folder / "dev")
    children.append(server)
    server.start()
    return server


@pytest.fixture
def dev(running_dev: DevServer) -> Iterator[DevServer]:
    """Give the test a running `serve --dev`, with its playground and simulator."""
    yield running_dev
    running_dev.check_log()


@contextmanager
def _made(folder: Path, simulator: Simulator) -> Iterator[Callable[..., Product]]:
    made: list[Product] = []

    def make(*, start: bool = True, **settings: object) -> Product:
        product = Product(Path(tempfile.mkdtemp(prefix="own-", dir=folder)), {**_at(simulator), **settings})
        product.by_fork = True
        made.append(product)
        if start:
            product.start()
        return product

    yield make
    for product in made:
        product.kill()
    for product in made:
        product.check_log()
        shutil.rmtree(product.folder)


@pytest.fixture
def make_server(folder: Path, simulator: Simulator) -> Iterator[Callable[..., Product]]:
    """Start Menshens with settings of the test's own, on SQLite unless told; ``start=False`` leaves it to the test."""
    with _made(folder, simulator) as make:
        yield make


@pytest.fixture(scope="module")
def file_server(folder: Path, simulator: Simulator) -> Iterator[Callable[..., Product]]:
    """Start Menshens likewise, which the tests of one file share and leave as they found them."""
    with _made(folder, simulator) as make:
        yield make


@pytest.fixture
def two_servers(
    make_server: Callable[..., Product], mariadb: MariaDB, redis_server: RedisServer
) -> Callable[..., tuple[Product, Product]]:
    """Start two Menshens with the same settings, keys and stores."""

    def start(**settings: object) -> tuple[Product, Product]:
        given = {**Backend(BACKENDS[1], mariadb, redis_server).fresh(), **settings}
        first = make_server(**given)
        return first, make_server(**given, DATA_DIR=first.data_dir)

    return start


@pytest.fixture
def phones(request: pytest.FixtureRequest, wechat: WeChat, network: Network) -> Callable[..., list[Phone]]:
    """Make people's phones; each speaks from ``address`` on this machine."""
    default = "server" if "server" in request.fixturenames else "embedded"

    def make(number: int, *, at: Door | None = None, address: str = "127.0.0.1") -> list[Phone]:
        door: Door = at or request.getfixturevalue(default)
        return [Phone(door, wechat, network, address=address) for _ in range(number)]

    return make


@pytest.fixture
def phone(phones: Callable[..., list[Phone]]) -> Phone:
    """Give the test one new person."""
    return phones(1)[0]


@pytest.fixture(scope="session")
def running_chromium(browser_loop: IOLoop) -> Iterator[Browser]:
    """Start the one browser of the run."""
    playwright, started = browser_loop.run_sync(browser.launch)
    yield started
    browser_loop.run_sync(lambda: browser.close(playwright, started))


@pytest.fixture
def chromium(running_chromium: Browser, io_loop: IOLoop) -> Iterator[Browser]:
    """Give the test a browser without any window, and close those that it leaves."""
    yield running_chromium
    for context in running_chromium.contexts:
        io_loop.run_sync(context.close)
