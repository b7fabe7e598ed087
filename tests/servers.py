"""Private instances of MariaDB and Redis on free loopback ports, with data of their own; never the system's."""

import os
import re
import secrets
import shutil
import socket
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import closing
from itertools import chain
from pathlib import Path
from typing import Any

import pymysql
import redis
import redis.backoff
import redis.retry
from children import Child, DidNotStart, free_port

from stores.db.statements import history

DEPLOY = Path(__file__).resolve().parent.parent / "deploy"
USERS = DEPLOY / "redis" / "users.acl"
SERVING = "menshen_server"  # whom grants.sql is about
GRANTS = (DEPLOY / "mysql" / "grants.sql").read_text("utf-8")
# The Debian package that brings each program, by the fixture that needs it.
PACKAGES = {
    "mariadb": {"mariadbd": "mariadb-server", "mariadb-install-db": "mariadb-server"},
    "redis_server": {"redis-server": "redis-server"},
    "watched": {"redis-server": "redis-server"},
    "clock": {"redis-server": "redis-server", "tcc": "tcc"},
    "chromium": {"chromium": "chromium"},
    "nginx": {"nginx": "nginx-light"},
    "wafer_sdks": {"node": "nodejs", "npm": "npm"},
    "mini_program": {"node": "nodejs"},
    "node_packages": {"node": "nodejs", "npm": "npm"},
    "back_end_interpreters": {"php": "php-cli", "node": "nodejs", "go": "golang-go"},
}


def program(name: str) -> str | None:
    """Return the path of a program, also where only root's PATH leads, or None when it is not installed."""
    return shutil.which(name, path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin")


def missing_packages(fixtures: set[str]) -> list[str]:
    """Return the Debian packages that the fixtures named need and that are not installed."""
    wanted = [pair for fixture, needs in PACKAGES.items() if fixture in fixtures for pair in needs.items()]
    return sorted({package for name, package in wanted if program(name) is None})


def _installed(name: str) -> str:
    path = program(name)
    if path is None:
        raise DidNotStart(f"{name} is not installed")
    return path


class MariaDB(Child):
    """A MariaDB server; ``database()`` gives out a fresh database each time, ``served()`` one with our tables.

    The first URL is its owner's. The second is that of the user of deploy/mysql/grants.sql, who may do what serving
    needs.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.port = free_port()
        self.user = "menshen"
        self.password = secrets.token_hex(12)
        self._socket = str(folder / "socket")
        self._count = 0
        # Root may name itself only here: mariadbd refuses to run as root unless told, and nobody else may tell it.
        self._as_user = ["--user=root"] if os.geteuid() == 0 else []
        self._install()

    def _install(self) -> None:
        command = [_installed("mariadb-install-db"), "--no-defaults", *self._as_user, f"--datadir={self.folder}/data"]
        options = ["--auth-root-authentication-method=normal", "--skip-test-db"]
        environment = dict(self.environment())
        done = subprocess.run([*command, *options], env=environment, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise DidNotStart(f"mariadb-install-db failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")

    def environment(self) -> Mapping[str, str]:
        """Return what leads its temporary files here: in a folder that several share, each sweeps away the others'."""
        return os.environ | {"TMPDIR": str(self.folder)}

    def command(self) -> Sequence[str]:
        """Return the command line; names are never looked up, so root@localhost exists on the socket alone."""
        return [
            _installed("mariadbd"),
            "--no-defaults",
            *self._as_user,
            f"--datadir={self.folder}/data",
            f"--socket={self._socket}",
            f"--pid-file={self.folder}/pid",
            "--bind-address=127.0.0.1",
            f"--port={self.port}",
            "--skip-name-resolve",
            "--character-set-server=utf8mb4",
            "--collation-server=utf8mb4_unicode_ci",
            "--innodb-buffer-pool-size=64M",
            "--innodb-log-file-size=16M",
            "--skip-log-bin",
            "--max-connections=400",
        ]

    def ready(self) -> bool:
        """Say whether the server takes statements by now."""
        # PyMySQL leaks its socket when nobody listens, so that is found out without it.
        try:
            with socket.socket(socket.AF_UNIX) as probe:
                probe.connect(self._socket)
            return self.query("SELECT 1") == [(1,)]
        except (OSError, pymysql.err.OperationalError):
            return False

    def start(self, *, seconds: float = 60.0) -> None:
        """Start the server; the first time, make the user that the product gets."""
        super().start(seconds=seconds)
        self.query("DELETE FROM mysql.global_priv WHERE User = 'root' AND Host <> 'localhost'")
        self.query("FLUSH PRIVILEGES")
        self.query("CREATE USER IF NOT EXISTS %s@'127.0.0.1' IDENTIFIED BY %s", (self.user, self.password))
        self.query("GRANT ALL ON `test\\_%%`.* TO %s@'127.0.0.1'", (self.user,))

    def query(self, sql: str, values: tuple[Any, ...] = (), *, database: str | None = None) -> list[tuple[Any, ...]]:
        """Run one statement as the database's root, outside the product, and return the rows."""
        with closing(self._as_root(database)) as connection, connection.cursor() as cursor:
            cursor.execute(sql, values)
            return list(cursor.fetchall())

    def _as_root(self, database: str | None) -> "pymysql.Connection[pymysql.cursors.Cursor]":
        return pymysql.connect(
            unix_socket=self._socket,
            user="root",
            database=database,
            autocommit=True,
            charset="utf8mb4",
            connect_timeout=5,
            read_timeout=30,
        )

    def database(self) -> str:
        """Make a fresh, empty database and return its URL for the setting DATABASE."""
        self._count += 1
        name = f"test_{self._count}"
        self.query(f"CREATE DATABASE {name} CHARACTER SET utf8mb4")
        return f"mysql://{self.user}:{self.password}@127.0.0.1:{self.port}/{name}"

    def served(self) -> str:
        """Make a fresh database with our tables, and return the URL of the user who may serve it and no more."""
        url = self.database()
        name = url.rpartition("/")[2]
        versions = history("mysql")
        with closing(self._as_root(name)) as connection, connection.cursor() as cursor:
            for statement in [*chain(*versions.values()), *_grants(name, self.password)]:
                cursor.execute(statement)
            noted = "INSERT INTO schema_version (version, applied_at) VALUES (%s, 0)"
            cursor.executemany(noted, [(number,) for number in versions])
        return url.replace(f"//{self.user}:", f"//{SERVING}:")


def _grants(database: str, password: str) -> list[str]:
    """Return the statements of deploy/mysql/grants.sql for a database of this name."""
    text = re.sub(r"--[^\n]*\n", "", GRANTS).replace("menshen.", f"{database}.").replace("'password'", f"'{password}'")
    return [statement for statement in text.split(";\n") if statement.strip()]


class RedisServer(Child):
    """A Redis that answers a write only when it is on the disk; ``url()`` gives out a fresh database each time.

    The product gets the user of deploy/redis/users.acl, who may do what serving needs; ``client()`` is its owner.
    """

    databases = 1024

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.port = free_port()
        self.password = secrets.token_hex(12)
        self._count = 0
        users = folder / "users.acl"
        users.touch(mode=0o600)
        users.write_text(re.sub("PASSWORD-OF-[A-Z]+", self.password, USERS.read_text("ascii")))
        lines = [
            f"port {self.port}",
            "bind 127.0.0.1",
            f'dir "{folder}"',
            f'aclfile "{users}"',
            f"databases {self.databases}",
            "appendonly yes",
            "appendfsync always",
            'save ""',
        ]
        self._config = folder / "redis.conf"
        self._config.touch(mode=0o600)
        self._config.write_text("\n".join(lines) + "\n")

    def command(self) -> Sequence[str]:
        """Return the command line; the password stands in the file, where `ps` does not show it."""
        return [_installed("redis-server"), str(self._config)]

    def ready(self) -> bool:
        """Say whether the server answers and has read its data by now."""
        try:
            with self.client() as client:
                return bool(client.ping())
        except redis.exceptions.ConnectionError:  # also while it is loading
            return False

    def client(self, database: int = 0, *, timeout: float = 5.0, **options: Any) -> redis.Redis:
        """Return a synchronous client of the owner's that waits no longer than ``timeout`` seconds nor tries twice."""
        return redis.Redis(
            host="127.0.0.1",
            port=self.port,
            db=database,
            **{"username": "admin", "password": self.password, **options},
            socket_timeout=timeout,
            socket_connect_timeout=timeout,
            retry=redis.retry.Retry(redis.backoff.NoBackoff(), 0),
        )

    def url(self) -> str:
        """Return the URL of a database that no test has used, for the setting SESSIONS."""
        self._count += 1
        assert self._count < self.databases, "all databases of this Redis are used up: raise RedisServer.databases"
        return f"redis://menshen:{self.password}@127.0.0.1:{self.port}/{self._count}"
