"""The picture that a person sends of themselves: taken in at one address, served at another."""

from typing import ClassVar

from actions.content import take_avatar
from handlers.base import BODY_TYPE, ApiHandler, Intake
from handlers.miniprogram import PersonHandler, profile
from handlers.multipart import one_file
from handlers.refusals import BodyTooLarge

MOST_BYTES = 1024 * 1024
_AROUND_BYTES = 8 * 1024

PICTURE_HEADERS = {
    # OWASP ASVS 3.2.1, 5.3.1: it is a picture whatever it holds, and as a page of its own it may do nothing.
    "Content-Security-Policy": "default-src 'none'; sandbox; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    # A picture never changes under its name. `private`: what a shared cache keeps, no erasure reaches.
    "Cache-Control": "private, max-age=31536000, immutable",
    # A mini program's pages are of WeChat's origin, and shall be able to show it.
    "Cross-Origin-Resource-Policy": "cross-origin",
    "Content-Disposition": "inline",
}


class MyAvatar(PersonHandler):
    """POST /api/me/avatar"""

    intake: ClassVar[Intake] = Intake(
        most_bytes=MOST_BYTES + _AROUND_BYTES, types=("multipart/form-data",), read_by_handler=True
    )

    async def post(self) -> None:
        """Keeps the one file in the body as the person's picture; answers with the profile, as PUT /api/me does.

        With `checking` where the picture is shown only when WeChat lets it pass.
        """
        session = (await self.verified()).session
        file = one_file(self.request.headers.get(BODY_TYPE, ""), self.request.body)
        if len(file) > MOST_BYTES:
            raise BodyTooLarge
        sent = await take_avatar(self.backend, session, file)
        self.answer(**profile(self.backend, sent.user), **({"checking": True} if sent.checking else {}))


class Picture(ApiHandler):
    """GET /avatars/NAME; whoever knows the name sees it, and nobody can guess one."""

    async def get(self, name: str) -> None:
        """The picture."""
        avatar = await self.backend.avatars.named(name)
        self.put_headers(PICTURE_HEADERS)
        self.set_header("Content-Type", avatar.kind)
        self.finish(avatar.body)

    head = get
