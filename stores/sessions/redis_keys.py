"""The names of everything that Menshen keeps in Redis, all under one hash tag so that any can share a transaction.

{prefix}e                   the epochs of all mini programs, JSON; the first key of every look-up
{prefix}s HANDLE            one session, packed; or one byte saying why it ended
{prefix}a APPID:EPOCH       index of all sessions of a mini program: handle by the moment it expires
{prefix}u USER:EPOCH        index of one person's sessions: the same
{prefix}g                   the generations of people who were blocked or erased: user id by generation
{prefix}c HASH              a login code that was claimed
{prefix}t NAME              a tally of one minute
{prefix}o                   indexes of epochs gone by that the sweep has still to empty
"""

from stores.sessions.promise import Session


class Keys:
    """The names under one prefix."""

    def __init__(self, prefix: str) -> None:
        tag = b"{" + prefix.encode("ascii") + b"}"
        self._session, self._claim, self._tally = tag + b"s", tag + b"c", tag + b"t"
        self._app, self._user = tag + b"a", tag + b"u"
        self.epochs = tag + b"e"
        self.generations = tag + b"g"
        self.outdated = tag + b"o"

    def session(self, handle: bytes) -> bytes:
        """One session."""
        return self._session + handle

    def claim(self, code_hash: bytes) -> bytes:
        """A login code."""
        return self._claim + code_hash

    def tally(self, name: str) -> bytes:
        """A tally of one minute."""
        return self._tally + name.encode("ascii")

    def app(self, appid: str, epoch: int) -> bytes:
        """The index of one mini program."""
        return self._app + b"%b:%d" % (appid.encode("ascii"), epoch)

    def user(self, user_id: int, epoch: int) -> bytes:
        """The index of one person."""
        return self._user + b"%d:%d" % (user_id, epoch)

    def indexes(self, session: Session) -> tuple[bytes, bytes]:
        """The two indexes in which a session stands."""
        return self.app(session.appid, session.epoch), self.user(session.user_id, session.epoch)
