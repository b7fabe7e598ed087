"""Many at once are still one person each, and nobody is ever taken for somebody else."""

import asyncio
import sqlite3
from collections import Counter
from contextlib import closing, suppress
from urllib.parse import urlsplit

from phone import Phone
from product import Product

from benchmarks.prove.ground import NO_ANSWER, Ground, Line, Result, goal, port_of


async def _grounds(ground: Ground) -> dict[str, list[Product]]:
    """One and two processes on SQLite, one and two servers on MariaDB and Redis."""
    first, second, _ = ground.pair()
    return {
        "SQLite": [ground.server()],
        "SQLite, 2 processes": [ground.server(WORKERS=2)],
        "MariaDB": [first],
        "MariaDB, 2 processes": [first, second],
    }


def _rows(ground: Ground, server: Product, openids: list[str]) -> int:
    """Return how many rows these people have."""
    if "DATABASE" in server.settings:
        name = urlsplit(server.settings["DATABASE"]).path[1:]
        rows = ground.mariadb.query("SELECT openid FROM user", database=name)
    else:
        with closing(sqlite3.connect(server.data_dir / "menshen.db")) as database:
            rows = database.execute("SELECT openid FROM user").fetchall()
    found = Counter(str(openid) for (openid,) in rows)
    return sum(found[openid] for openid in openids)


@goal(9, "100 first logins at once, on SQLite and MariaDB, on 1 and 2 processes, 20 times: 1 row, 1 id, 100 x 200")
async def first_logins(ground: Ground, *, rounds: int = 20, at_once: int = 100) -> Result:
    """Log one new person in with many codes at the same moment."""
    wechat = await ground.wechat()
    bad, seen = list[str](), 0
    for where, servers in (await _grounds(ground)).items():
        openids = []
        for _ in range(rounds):
            same = [Phone(servers[n % len(servers)], wechat, ground.network) for n in range(at_once)]
            for each in same:
                each.name = same[0].name
            codes = await asyncio.gather(*(each.code() for each in same))
            answers = await asyncio.gather(*(each.login(code=code) for each, code in zip(same, codes, strict=True)))
            good = [answer.json["user"] for answer in answers if answer.status == 200]
            if (len(good), len({user["id"] for user in good}), sum(user["new"] for user in good)) != (at_once, 1, 1):
                told = dict(Counter(answer.json.get("errcode", answer.status) for answer in answers))
                bad.append(f"{where}: {told}, {len({user['id'] for user in good})} ids")
            openids.append(await same[0].openid())
            seen += 1
        if _rows(ground, servers[0], openids) != rounds:
            bad.append(f"{where}: rows")
    return Result(
        f"{seen} rounds of {at_once} logins, {len(bad)} with a second row or id or another answer",
        not bad,
        ", ".join(sorted(set(bad))),
    )


@goal(10, "one code 100 times at once: WeChat is asked once and there is one session, also on 2 processes")
async def same_code(ground: Ground, *, rounds: int = 20, at_once: int = 100) -> Result:
    """Send the very same code many times at the same moment."""
    wechat = await ground.wechat()
    asked_twice = sessions_wrong = seen = 0
    for servers in (await _grounds(ground)).values():
        for _ in range(rounds):
            [mei] = await ground.phones(servers[0], 1)
            code, before = await mei.code(), await wechat.asked()
            phones = [Phone(servers[n % len(servers)], wechat, ground.network) for n in range(at_once)]
            answers = await asyncio.gather(*(each.login(code=code) for each in phones))
            tokens = {answer.json["token"] for answer in answers if answer.status == 200}
            asked_twice += await wechat.asked() - before != 1
            sessions_wrong += len(tokens) != 1 or not {answer.status for answer in answers} <= {200, 400, 409}
            if tokens:
                mei.token = tokens.pop()
                held = await mei.request("GET", "/api/me/sessions", headers=mei.bearer)
                sessions_wrong += len(held.json["sessions"]) != 1
            seen += 1
    return Result(
        f"{seen} rounds of {at_once}: WeChat asked more than once in {asked_twice}, "
        f"other than one session in {sessions_wrong}",
        asked_twice == sessions_wrong == 0,
    )


@goal(12, "100,000 verifies while callers hang up and the store is slow, cut or silent: never another person's id")
async def identity(ground: Ground, *, verifies: int = 100_000, lines: int = 24, crowd: int = 200) -> Result:
    """Ask through a proxy that delays and cuts the connections to Redis; a third of the callers hang up halfway."""
    redis = ground.redis()
    proxy = ground.proxy(redis.port)
    server = ground.server(SESSIONS=redis.url().replace(f":{redis.port}/", f":{proxy.port}/"))
    owners = list((await ground.people(server, crowd)).items())
    statuses: Counter[int] = Counter()
    wrong = hung_up = silent = 0
    left = iter(range(verifies))

    async def ask(number: int) -> None:
        nonlocal wrong, hung_up, silent
        line = Line(port_of(server))
        for n in left:
            token, owner = owners[n % len(owners)]
            try:
                patience = ground.dice.uniform(0.0003, 0.02) if number % 3 == 0 and n % 7 == 0 else 5
                async with asyncio.timeout(patience):
                    status, body = await line.verify(token)
            except TimeoutError:
                hung_up += 1
                continue
            except NO_ANSWER:
                silent += 1
                continue
            statuses[status] += 1
            wrong += status == 200 and body["user_id"] != owner
        line.hang_up()

    async def trouble() -> None:
        while True:
            await asyncio.sleep(0.4)
            proxy.delay_seconds = ground.dice.choice((0, 0, 0.002, 0.02, 0.4))
            if ground.dice.random() < 0.5:
                proxy.cut()
            await asyncio.sleep(0.2)
            proxy.delay_seconds = 0

    troubled = asyncio.ensure_future(trouble())
    await asyncio.gather(*(ask(number) for number in range(lines)))
    troubled.cancel()
    with suppress(asyncio.CancelledError):
        await troubled
    return Result(
        f"{verifies:,} verifies, {statuses[200]:,} answered, {statuses[503]:,} x 503, {hung_up:,} callers hung up, "
        f"{wrong} wrong ids, {statuses[401]} put out",
        wrong == statuses[401] == silent == 0 and set(statuses) <= {200, 503} and statuses[200] > verifies // 4,
    )
