"""The picture that a person sends of themselves, and whose picture an address of ours or of WeChat's names."""

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from actions.pictures import KIND
from stores.avatars import PATH, NobodyToShow
from stores.sessions import Session
from stores.users import NoSuchUser, User

if TYPE_CHECKING:
    from actions.backend import Backend

WECHATS = ".qlogo.cn"


async def keep_avatar(backend: "Backend", mine: Session, body: bytes) -> User:
    """Makes the picture small and keeps it in the place of the one before; gives the person now.

    Raises NoPicture, PictureTooLarge, TooManyPictures, NoSuchUser.
    """
    small = await backend.pictures.small(body)
    try:
        await backend.avatars.keep(mine.user_id, small, KIND, backend.now())
    except NobodyToShow:
        raise NoSuchUser from None
    return await backend.users.find(mine.user_id)


def own_path(backend: "Backend", url: str) -> str:
    """The path of a picture that lies here, also when it was given with PUBLIC_URL in front; else the URL itself."""
    public_url = backend.settings.public_url
    return url.removeprefix(public_url) if public_url and url.startswith(public_url + PATH) else url


def is_wechats(url: str) -> bool:
    """Whether a picture lies at WeChat, which gives each person's there an address of its own."""
    host = urlsplit(url).hostname or ""
    return host.endswith(WECHATS)


def public_address(backend: "Backend", url: str | None) -> str | None:
    """What a phone can load: a path of ours with PUBLIC_URL in front, where that is set."""
    if url is None or not url.startswith(PATH):
        return url
    return (backend.settings.public_url or "") + url
