"""What can go wrong with a store, named after what the caller can do about it.

StoreTrouble
├── StoreAway       no answer, or none in time: keep what you have and try again
│   ├── UsersAway     the SQL database
│   │   └── WrongSchema   it answers, but is of another version than this program
│   ├── SessionsAway  where sessions are kept
│   └── WrongCredentials  it refuses our user name or password
└── StoreFull       it answers, but cannot take anything new (disk or memory full, read-only)
"""


class StoreTrouble(Exception):
    """A store could not do what was asked; nothing is known to have changed."""


class NotEmpty(Exception):
    """What everything should be moved to holds something already, maybe half of a move; its text says which."""


class StoreAway(StoreTrouble):
    """The store is down, loading, frozen, slow beyond its deadline, or every connection to it is taken."""


class UsersAway(StoreAway):
    """The SQL database is away."""


class SessionsAway(StoreAway):
    """The session store is away, or it came back without its epochs and must be told them first."""


class StoreFull(StoreTrouble):
    """The store answers, and refuses to write."""


class WrongCredentials(StoreAway):
    """The store refuses our user name or password; only a person can mend that."""


class UsersRefuse(WrongCredentials, UsersAway):
    """The SQL database refuses our user name or password."""


class WrongSchema(UsersAway):
    """The database is of another version than this program; its text says what to do."""
