"""The names of everything that Menshen keeps in Redis, all under one hash tag so that any can share a transaction.

{prefix}e                   the epochs of all mini programs, and which Redis was told; the first key of every look-up
{prefix}w                   when Menshen wrote here last, every few seconds: how far behind itself a Redis came back
{prefix}s HANDLE            one session, packed; or one byte saying why it ended
{prefix}a APPID:EPOCH       index of all sessions of a mini program: handle by the moment it expires
{prefix}u USER:EPOCH        index of one person's sessions: the same; and `x HANDLE` for each that may be brought back
{prefix}x HANDLE            what is needed to bring a session back, for a minute
{prefix}g                   the generations of people who were blocked or erased: user id by generation
{prefix}c HASH              a login code that was claimed
{prefix}t NAME              a tally of one minute
{prefix}o                   indexes of epochs gone by that the sweep has still to empty

In a cluster each of 256 buckets has all of these under a tag of its own, {prefix:00} to {prefix:ff}; there `s HANDLE`
may also be two bytes that name the bucket in which the session is.
"""

from stores.sessions.promise import Session


class Keys:
    """The names under one prefix."""

    def __init__(self, prefix: str) -> None:
        tag = b"{" + prefix.encode("ascii") + b"}"
        self._session, self._claim, self._tally = tag + b"s", tag + b"c", tag + b"t"
        self._app, self._user, self._stash = tag + b"a", tag + b"u", tag + b"x"
        self.everything = (
            b"".join(b"\\" + bytes([each]) if each in b"*?[]\\^" else bytes([each]) for each in tag) + b"*"
        )
        self.epochs = tag + b"e"
        self.written = tag + b"w"
        self.generations = tag + b"g"
        self.outdated = tag + b"o"

    def session(self, handle: bytes) -> bytes:
        """One session."""
        return self._session + handle

    def stash(self, handle: bytes) -> bytes:
        """What brings one session back."""
        return self._stash + handle

    def stashed(self, handle: bytes) -> bytes:
        """How a session that may be brought back stands in its person's index, where no touch moves it."""
        return b"x" + handle

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
