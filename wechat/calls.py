"""What WeChat is asked with an access_token: phone numbers, session_keys, what people show, and what partners relay.

An access_token that WeChat refuses is replaced once and the call repeated once, never in a loop: another server may
have made a new one a moment ago (errcode 40001, 40014, 42001). No login comes this way.
"""

import asyncio
import json
import re
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol, TypeVar

from msgspec.structs import replace

from values import Confidential
from wechat.answers import (
    BUSY,
    BUSY_SECONDS,
    RISKY_CONTENT,
    PhoneNumber,
    Reply,
    read_errcode,
    read_fields,
    read_passes,
    read_phone,
    read_trace,
)
from wechat.data import session_key_signature
from wechat.errors import PhoneCodeRefused, WeChatBusy, WeChatMisconfigured, WeChatTrouble, WeChatUnusable
from wechat.state import Ledger
from wechat.wire import Question, Wire, log_trouble

T = TypeVar("T")

REFUSED_TOKENS = frozenset({40001, 40014, 42001})
REFUSED_PHONE_CODES = frozenset({40003, 40029, 40163, 41008})  # 40003: the code is another person's
STALE_KEYS = frozenset({40003, 87007, 87009})
PROFILE = 1  # WeChat's number of the place where a text or a picture is shown
PICTURE = 2
MOST_UNDER_WAY = 200
MOST_RELAYED_BYTES = 4 * 1024 * 1024
REPEAT_AFTER_SECONDS = 0.3

_NAME = r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,63}"
_RELAYED_PATH = re.compile(rf"/?((?:{_NAME}/){{0,7}}{_NAME})", re.ASCII)
# These take the AppSecret and give out what is ours alone: tokens, session_keys.
_NEVER_RELAYED = re.compile(r"cgi-bin/(?:stable_)?token|sns/.*|wxa/resetusersessionkey", re.ASCII | re.IGNORECASE)


class Tokens(Protocol):
    """Where access_tokens come from. Both raise a WeChatTrouble, and what the store raises."""

    async def token(self, appid: str, deadline: float) -> str:
        """One that should be good."""
        ...

    async def newer(self, appid: str, refused: str, deadline: float) -> str:
        """The one to try after WeChat refused that one; the same when WeChat has no other."""
        ...


class CannotRelay(Exception):
    """No path or method that is passed on; `args` say nothing of what was asked."""


class Relayed(NamedTuple):
    """WeChat's answer to a relayed call, as it came."""

    status: int
    content_type: str
    body: bytes


class _Asked(Confidential, frozen=True):
    """What came of one call, and the access_token that it was made with."""

    outcome: Reply | WeChatTrouble
    token: str
    unsent: bool = False


class Calls:
    """The calls that need an access_token, for all mini programs of this server."""

    tokens: Tokens

    def __init__(self, wire: Wire, ledger: Callable[[str], Ledger]) -> None:
        """`ledger` gives where a mini program's outcomes are noted; `tokens` is set before the first call."""
        self._wire = wire
        self._ledger = ledger
        self._under_way = 0

    async def phone_number(self, appid: str, code: str, openid: str, deadline: float) -> PhoneNumber:
        """The number behind a code of the getPhoneNumber button; WeChat checks that the code is this person's.

        Raises PhoneCodeRefused and other WeChatTroubles, and what the store of tokens raises.
        """
        body = json.dumps({"code": code, "openid": openid}).encode()
        answer = await self._answer(appid, Question("POST", "/wxa/business/getuserphonenumber", (), body), deadline)
        if isinstance(answer, WeChatTrouble) and answer.errcode in REFUSED_PHONE_CODES:
            answer = PhoneCodeRefused(answer.errcode, answer.rid)
        return self._told(appid, answer if isinstance(answer, WeChatTrouble) else read_phone(answer, appid))

    async def key_holds(self, appid: str, openid: str, session_key: bytes, deadline: float) -> bool:
        """Whether this session_key is the one that the phone has now (WeChat: checkSessionKey). Raises as above."""
        return await self._about_key(appid, "/wxa/checksession", openid, session_key, deadline)

    async def reset_key(self, appid: str, openid: str, session_key: bytes, deadline: float) -> bool:
        """Makes a session_key worthless (WeChat: resetUserSessionKey); False when it was worthless before.

        The new key is not kept: the phone gets one with its next wx.login. Raises as above.
        """
        return await self._about_key(appid, "/wxa/resetusersessionkey", openid, session_key, deadline)

    async def text_passes(self, appid: str, openid: str, text: str, deadline: float) -> bool:
        """Whether WeChat has nothing against a text in this person's profile (WeChat: msgSecCheck). Raises as above.

        NotSeenLately where the person has not been in the mini program for two hours.
        """
        answer = await self._answer(appid, _content("/wxa/msg_sec_check", openid, content=text), deadline)
        if isinstance(answer, WeChatTrouble):
            return self._told(appid, False if answer.errcode == RISKY_CONTENT else answer)
        return self._told(appid, read_passes(answer))

    async def check_picture(self, appid: str, openid: str, url: str, deadline: float) -> str:
        """Has WeChat look at the picture at `url` (WeChat: mediaCheckAsync); gives the trace_id of its verdict.

        That comes within half an hour, as the event `wxa_media_check`. Raises as above.
        """
        question = _content("/wxa/media_check_async", openid, media_url=url, media_type=PICTURE)
        answer = await self._answer(appid, question, deadline)
        return self._told(appid, answer if isinstance(answer, WeChatTrouble) else read_trace(answer))

    async def relay(
        self,
        appid: str,
        method: str,
        path: str,
        query: Sequence[tuple[str, str]],
        body: bytes | None,
        content_type: str,
        deadline: float,
    ) -> Relayed:
        """Passes a call on with the access_token added, and gives WeChat's answer as it came, up to 4 MiB of it.

        An access_token or secret in `query` is left out. Raises CannotRelay for a path that gives out secrets or is
        none, and for methods other than GET and POST; else as above. The answer never holds our access_token.
        """
        found = _RELAYED_PATH.fullmatch(path)
        if method not in ("GET", "POST") or found is None or _NEVER_RELAYED.fullmatch(found[1]):
            raise CannotRelay
        own = [(name, value) for name, value in query if name.lower() not in ("access_token", "secret")]
        question = Question(method, f"/{found[1]}", own, body, content_type, MOST_RELAYED_BYTES, whole=True)
        asked = await self._ask(appid, question, deadline)
        outcome = asked.outcome
        if isinstance(outcome, Reply) and asked.token.encode() in outcome.body:
            outcome = WeChatUnusable("the answer repeats the access_token")
        reply = self._told(appid, outcome)
        return Relayed(reply.status, reply.content_type, reply.body)

    async def _about_key(self, appid: str, path: str, openid: str, session_key: bytes, deadline: float) -> bool:
        signature = session_key_signature(session_key)
        query = (("openid", openid), ("signature", signature), ("sig_method", "hmac_sha256"))
        answer = await self._answer(appid, Question("GET", path, query), deadline)
        if isinstance(answer, WeChatTrouble) and answer.errcode in STALE_KEYS:
            return False
        self._told(appid, answer)
        return True

    async def _answer(self, appid: str, question: Question, deadline: float) -> dict[str, object] | WeChatTrouble:
        """What WeChat says; "system busy" and a request that never left us are tried once more."""
        answer, unsent = self._read(await self._ask(appid, question, deadline))
        busy = isinstance(answer, WeChatBusy) and answer.errcode == BUSY
        if not (busy or unsent) or deadline - asyncio.get_running_loop().time() < 2 * REPEAT_AFTER_SECONDS:
            return answer
        await asyncio.sleep(REPEAT_AFTER_SECONDS)
        return self._read(await self._ask(appid, question, deadline))[0]

    def _read(self, asked: _Asked) -> tuple[dict[str, object] | WeChatTrouble, bool]:
        outcome = asked.outcome
        if not isinstance(outcome, Reply):
            return outcome, asked.unsent
        answer = read_fields(outcome)
        if isinstance(answer, WeChatTrouble) and answer.errcode in REFUSED_TOKENS:
            why = "a new access_token is refused too"
            answer = WeChatMisconfigured(answer.errcode, answer.rid, why=why)
        return answer, False

    async def _ask(self, appid: str, question: Question, deadline: float) -> _Asked:
        """Asks with a token, and once more with a newer one when WeChat refuses that."""
        if self._under_way >= MOST_UNDER_WAY:
            busy = WeChatBusy(BUSY_SECONDS, why="too many calls are under way", code_spent=False)
            return _Asked(busy, "-")
        self._under_way += 1
        try:
            first = await self._ask_with(await self.tokens.token(appid, deadline), question, deadline)
            if not isinstance(first.outcome, Reply) or read_errcode(first.outcome.body) not in REFUSED_TOKENS:
                return first
            return await self._ask_with(await self.tokens.newer(appid, first.token, deadline), question, deadline)
        finally:
            self._under_way -= 1

    async def _ask_with(self, token: str, question: Question, deadline: float) -> _Asked:
        query = [("access_token", token), *question.query]
        ending = await self._wire.ask(replace(question, query=query), deadline)
        return _Asked(ending.outcome, token, ending.unsent)

    def _told(self, appid: str, outcome: T | WeChatTrouble) -> T:
        """Notes how it ended, and raises what went wrong."""
        self._ledger(appid).note_call(outcome)
        if isinstance(outcome, WeChatTrouble):
            log_trouble(appid, outcome)
            raise outcome
        return outcome


def _content(path: str, openid: str, **what: object) -> Question:
    """A question about what a person shows in the profile; in UTF-8 as WeChat asks, not as JSON's escapes."""
    asked = {"version": 2, "scene": PROFILE, "openid": openid, **what}
    return Question("POST", path, (), json.dumps(asked, ensure_ascii=False).encode())
