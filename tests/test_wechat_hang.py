"""A WeChat that takes every connection and says nothing, for longer than anybody waits."""

import asyncio

from odd_servers import good, log_in, on_a_loop, silence, wechat_that_says

from wechat.answers import Identity
from wechat.errors import WeChatSilent


@on_a_loop
async def test_after_a_hang_of_500_logins_the_next_one_succeeds() -> None:
    async with wechat_that_says(*[silence] * 500, good) as (server, client):
        hung = await asyncio.gather(*(log_in(client, seconds=6.0) for _ in range(500)))
        assert {type(trouble) for trouble in hung} == {WeChatSilent}
        assert len(server.requests) == 500
        assert client.waiting == 0
        assert isinstance(await log_in(client), Identity)
