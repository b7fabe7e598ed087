"""The pairs of stores that every promise of the product is tested on."""

from dataclasses import dataclass

from servers import MariaDB, RedisServer

BACKENDS = ("sqlite", "mariadb+redis")


@dataclass(frozen=True)
class Backend:
    """Where a server keeps its users and its sessions."""

    name: str
    mariadb: MariaDB | None = None
    redis_server: RedisServer | None = None

    def fresh(self) -> dict[str, str]:
        """Return the settings of a server with empty stores; servers that get the same ones share them.

        There it is the user of deploy/mysql/grants.sql and the one of deploy/redis/users.acl.

        Servers that share MariaDB and Redis need the same keys as well: give them one DATA_DIR.
        """
        if self.mariadb is None or self.redis_server is None:
            return {}
        return {
            "DATABASE": self.mariadb.served(),
            "SESSIONS": self.redis_server.url(),
        }
