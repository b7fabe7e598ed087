"""What your own back end is told: an event is a row first, then a signed POST, repeated until it is taken.

The body holds our numbers of people and mini programs. Only `user.erased` names the openid as well, because it is the
one event after which nobody can ask for it any more. Nothing that opens or signs anything ever stands in it.
"""

import contextlib
import hashlib
import hmac
import json
import logging
import secrets
from asyncio import gather
from typing import TYPE_CHECKING, Literal

from actions.deeds import Actor, written_down
from actions.outgoing import NotSent
from stores.db import Query
from stores.deliveries import Deliveries, Delivery, Settled, queued
from stores.errors import StoreTrouble
from stores.users import NoSuchUser, User

if TYPE_CHECKING:
    from actions.backend import Backend

log = logging.getLogger("menshen.webhooks")

Event = Literal["login.first", "session.revoked", "user.blocked", "user.erased", "wechat.config_error"]
TARGET = "webhook"
AT_ONCE = 20
FIRST_SECONDS, LONGEST_SECONDS = 1, 3_600
GIVEN_UP_AFTER_SECONDS = 24 * 3_600
KEPT_SECONDS = 7 * 86_400


def event(backend: "Backend", name: Event, appid: str | None, **facts: object) -> list[Query]:
    """The queries that let an event be told, for the transaction of what it tells; none when nobody is to be told."""
    if backend.settings.webhook_url is None:
        return []
    now = backend.now()
    body = {"event": name, "at": now, "appid": appid, **facts}
    return [queued(TARGET, name, json.dumps(body, ensure_ascii=True, separators=(",", ":")), now)]


def named(user: User) -> dict[str, int]:
    """How an event names a person: our number, and the one that an operator has given to whoever was merged."""
    return {"user_id": user.id} if user.person is None else {"user_id": user.id, "person": user.person}


async def tell(
    backend: "Backend", name: Event, appid: str | None, *, user_id: int | None = None, **facts: object
) -> None:
    """Lets an event be told that did not happen in SQL; while the database is away it waits in memory.

    `user_id` says whose it is, where it is one person's.
    """
    if backend.settings.webhook_url is None:
        return
    if user_id is not None:
        facts |= await _whose(backend, user_id)
    for query in event(backend, name, appid, **facts):
        backend.deliveries.note(query)
    await backend.deliveries.flush()


async def _whose(backend: "Backend", user_id: int) -> dict[str, int]:
    """The person as events name people; the number alone while nobody can be looked up."""
    if backend.users.answers:
        with contextlib.suppress(NoSuchUser, StoreTrouble):
            return named(await backend.users.find(user_id))
    return {"user_id": user_id}


def signature(secret: str, timestamp: int, body: bytes) -> str:
    """HMAC-SHA256 over `timestamp.body`, so that an old message cannot be sent again as a new one."""
    return "v1=" + hmac.new(secret.encode("ascii"), b"%d." % timestamp + body, hashlib.sha256).hexdigest()


async def deliver(backend: "Backend") -> None:
    """Sends some of what is due, as far as no other process does. Raises UsersAway, StoreFull."""
    if backend.settings.webhook_url is not None:
        taken = await backend.deliveries.take(backend.now(), AT_ONCE)
        await gather(*(_deliver(backend, each) for each in taken))


async def forget(backend: "Backend") -> None:
    """Lets go of what was told a week ago. Raises UsersAway, StoreFull."""
    await backend.deliveries.forget(backend.now() - KEPT_SECONDS)


async def send_again(backend: "Backend", by: Actor, delivery_id: int) -> None:
    """Lets something be told once more that was told, or given up. Raises NoSuchDelivery, AuditAway."""
    found = await backend.deliveries.find(delivery_id)
    async with written_down(backend, by, "delivery.again", target=f"delivery:{delivery_id}", reason=found.event):
        await backend.deliveries.send_again(delivery_id, backend.now())


async def _deliver(backend: "Backend", delivery: Delivery) -> None:
    status = await _post(backend, delivery)
    with contextlib.suppress(StoreTrouble):  # the lease runs out, and it is sent again: at least once is the promise
        await _settle(backend.deliveries, delivery, status, backend.now())


async def _post(backend: "Backend", delivery: Delivery) -> int | None:
    """The status of the answer, None when there was none."""
    url, secret = backend.settings.webhook_url, backend.settings.webhook_secret
    if url is None or secret is None:
        return None
    body, now = delivery.body.encode("utf-8"), backend.now()
    headers = {
        "Content-Type": "application/json",
        "Menshen-Event": delivery.event,
        "Menshen-Delivery": str(delivery.id),
        "Menshen-Timestamp": str(now),
        "Menshen-Signature": signature(secret.reveal(), now, body),
    }
    try:
        return (await backend.outgoing.post(url.reveal(), body, headers)).status
    except NotSent as why:
        log.warning("delivery %d (%s) was not taken: %s", delivery.id, delivery.event, why)
        return None


async def _settle(deliveries: Deliveries, delivery: Delivery, status: int | None, now: int) -> None:
    if status is not None and 200 <= status < 300:
        await deliveries.settle(delivery, Settled("done", status, now, now))
    elif now - delivery.created_at >= GIVEN_UP_AFTER_SECONDS:
        log.error("delivery %d (%s) was given up after a day", delivery.id, delivery.event)
        await deliveries.settle(delivery, Settled("failed", status, now, now))
    else:
        await deliveries.settle(delivery, Settled("waiting", status, now + pause(delivery.attempts)))


def pause(attempts: int) -> int:
    """Seconds until the next try after so many: doubled each time, an hour at most, and not all at the same moment."""
    longest = min(FIRST_SECONDS << min(attempts, 20), LONGEST_SECONDS)
    return max(FIRST_SECONDS, longest - secrets.randbelow(longest // 4 + 1))
