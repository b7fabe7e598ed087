"""What happens to a server whose process lacks something: files, a log, or the permission to leave a core."""

import asyncio
import os
import resource
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import pytest
from hostile.mutations import resident_bytes
from operator_at import make_operator
from phone import Network, Phone, WeChat
from product import Product
from rawsocket import Raw
from verdicts import succeeded

from faults.asking import alive, until

FILES = 160
Phones = Callable[..., list[Phone]]


def family(group: int) -> list[int]:
    """Return every process of a group; a server leads its own, and its workers are in it."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # processes end while they are looked at
            if os.getpgid(int(folder.name)) == group:
                found.append(int(folder.name))
    return found


@pytest.mark.gen_test
async def test_a_server_and_its_workers_leave_no_core(make_server: Callable[..., Product]) -> None:
    server = make_server(WORKERS=2)

    async def complete() -> bool:
        return len(family(server.pid)) >= 3

    await until(complete, seconds=20)
    for pid in family(server.pid):
        assert resource.prlimit(pid, resource.RLIMIT_CORE) == (0, 0)


@pytest.mark.gen_test
async def test_the_memory_of_a_password_is_not_kept(make_server: Callable[..., Product], network: Network) -> None:
    server = make_server()
    before = resident_bytes(server.pid)
    for _ in range(3):
        await make_operator(server, network)
    assert resident_bytes(server.pid) - before < 12 * 2**20  # 19 MiB for a hash; some 4 are the pages', and stay


@pytest.mark.gen_test
async def test_a_server_without_free_files_serves_who_is_connected_and_recovers(
    make_server: Callable[..., Product], phones: Phones, network: Network
) -> None:
    server = make_server(LOGIN_LIMIT=0)
    [mei] = phones(1, at=server)
    succeeded(await mei.login())
    resource.prlimit(server.pid, resource.RLIMIT_NOFILE, (FILES, FILES))
    crowd = [await Raw.to(server) for _ in range(FILES + 60)]  # the last ones wait in the system's queue
    await until(lambda: says(server, "nobody new can be let in"), seconds=20)
    succeeded(await mei.verify())  # on the connection it has
    before = cpu_seconds(server.pid)
    await asyncio.sleep(2)
    assert cpu_seconds(server.pid) - before < 1.5
    for raw in crowd:
        await raw.close()

    async def well() -> bool:
        [lan] = phones(1, at=server)
        return await alive(network, server) and (await lan.login()).status == 200

    await until(well, seconds=20)


async def says(server: Product, sentence: str) -> bool:
    return sentence in server.log()


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


class OnAFullDisk(Product):
    """A server whose log goes where nothing can be written any more."""

    def command(self) -> Sequence[str]:
        """See Product: the addresses are still told on stdout, and only the log is lost."""
        return ["sh", "-c", 'exec "$@" 2>/dev/full', "sh", *super().command()]


@pytest.mark.gen_test
async def test_a_log_that_cannot_be_written_ends_no_request(
    make_server: Callable[..., Product], wechat: WeChat, network: Network, tmp_path: Path
) -> None:
    settings = make_server(start=False).settings
    server = OnAFullDisk(tmp_path, {**settings, "DATA_DIR": tmp_path / "data", "LOG_LEVEL": "debug"})
    server.start()
    try:
        mei = Phone(server, wechat, network)
        succeeded(await mei.login())
        for _ in range(50):
            succeeded(await mei.verify())
        raw = await Raw.to(server)
        await raw.say(b"GET\r\n\r\n")
        assert (await raw.hear()).status == 400
        await raw.close()
        succeeded(await mei.verify())
        assert "DEBUG" not in server.log()
        assert server.stop() == 0
    finally:
        server.kill()
