"""A server process without its ports whose people log in, for the tests about what lists show of them."""

import secrets
from dataclasses import dataclass, field

from product import APPID

from actions.backend import Backend
from actions.lists import SessionRow, sessions_page
from actions.questions import Question
from stores.audit import Entry
from stores.logins import Login, sortable
from stores.sessions import Opening, Session, new_token, session_id
from stores.users import User

OTHER = "wx0000000000000002"
WEEK = 7 * 86_400


@dataclass
class House:
    """The backend of one server process, and what its people did."""

    backend: Backend
    sessions: dict[str, bytes] = field(default_factory=dict)

    async def person(self, who: str, appid: str = APPID) -> User:
        """Somebody of that nickname, with an openid of 28 characters as WeChat gives them."""
        mark = secrets.token_bytes(32)
        openid = "o" + secrets.token_urlsafe(20)[:27]
        seen = await self.backend.users.see(appid, openid, None, mark=mark, now=self.backend.now(), signup=True)
        return await self.backend.users.rename(seen.user.id, {"nickname": who})

    async def comes(self, user: User, name: str, *, ago: int = 0, ip: str = "192.0.2.7", **facts: str) -> bytes:
        """The person logs in `ago` seconds before now, by a session that the test calls `name`."""
        at, wanted = self.backend.now() - ago, session_id(new_token())
        assert wanted is not None
        opening = Opening(
            id=wanted,
            user_id=user.id,
            appid=user.appid,
            created_at=at,
            ends_at=at + WEEK,
            expires_at=at + WEEK,
            sealed_key=secrets.token_bytes(45),
            generation=user.generation,
            limit=0,
            overflow="oldest",
        )
        opened = (await self.backend.sessions.open(opening, at)).session
        self.backend.logins.opened(facts_of(opened, ip, facts))
        await self.backend.logins.flush()
        self.sessions[name] = wanted
        return wanted

    async def end(self, name: str, reason: str, *, noted: bool = True) -> None:
        """A session ends; its row may not know it yet."""
        now = self.backend.now()
        await self.backend.sessions.end([self.sessions[name]], reason, now)  # type: ignore[arg-type]  # a reason
        if noted:
            self.backend.logins.ended([self.sessions[name]], reason, now)
            await self.backend.logins.flush()

    def names(self, rows: list[SessionRow]) -> list[str]:
        """What the test calls these sessions."""
        called = {each: name for name, each in self.sessions.items()}
        return [called[row.login.id] for row in rows]

    async def listed(self, scope: tuple[str, ...] | None = None, **given: str) -> list[str]:
        """The sessions of the first page of this question."""
        return self.names((await sessions_page(self.backend, scope, Question.of(given))).rows)


def facts_of(session: Session, ip: str, facts: dict[str, str]) -> Login:
    return Login(
        session.id,
        session.user_id,
        session.appid,
        ip,
        facts.get("platform", "android"),
        facts.get("version", "12"),
        facts.get("environment", "release"),
        session.created_at,
        session.created_at,
        epoch=session.epoch,
        address=sortable(ip),
    )


def deed(name: str, target: str | None, *, actor: str = "operator:mei", result: str = "done", at: int = 1_000) -> Entry:
    return Entry(0, at, actor, "192.0.2.1", "5f1c", name, result, target, APPID)
