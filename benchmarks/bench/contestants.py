"""The servers that are measured: Menshen on its stores and parsers, and each peer, all on the one core for servers."""

import os
import signal
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from children import Child, free_port
from npm import installed
from product import APPSECRET, ROOT, Product
from servers import program

from benchmarks.bench.load import SERVER_CORE

PEERS = Path(__file__).resolve().parent / "peers"
_PHP_CHILDREN = 16  # on one core more would only wait for each other


@dataclass(frozen=True)
class Addresses:
    """Where the peers' stores and WeChat are, as URLs."""

    redis: str
    mysql: str
    wechat: str
    appid: str

    def environment(self) -> dict[str, str]:
        """As the peers read them, whole and in parts."""
        redis, mysql = urlsplit(self.redis), urlsplit(self.mysql)
        return {
            "APPID": self.appid,
            "APPSECRET": APPSECRET,
            "REDIS": self.redis,
            "REDIS_PORT": str(redis.port),
            "REDIS_USER": redis.username or "default",
            "REDIS_PASSWORD": redis.password or "",
            "REDIS_DB": redis.path[1:],
            "MYSQL": self.mysql,
            "MYSQL_PORT": str(mysql.port),
            "MYSQL_USER": mysql.username or "",
            "MYSQL_PASSWORD": mysql.password or "",
            "MYSQL_DB": mysql.path[1:],
            "WECHAT": self.wechat,
        }


def on_server_core(command: Sequence[str]) -> list[str]:
    """The command, and all that it starts, on the one core for servers."""
    return ["taskset", "-c", SERVER_CORE, *command]


class Menshen(Product):
    """Menshen, as `server.py serve` starts it."""

    def command(self) -> Sequence[str]:
        """See Child."""
        return on_server_core(super().command())


class Peer(Child):
    """One process that listens on PORT and says that it is ready."""

    words: Sequence[str]

    def __init__(self, folder: Path, addresses: Addresses) -> None:
        super().__init__(folder)
        self.port = free_port()
        self.addresses = addresses

    @property
    def base(self) -> str:
        """The base URL, without a slash at the end."""
        return f"http://127.0.0.1:{self.port}"

    def command(self) -> Sequence[str]:
        """See Child."""
        return on_server_core(self.words)

    def environment(self) -> Mapping[str, str]:
        """See Child."""
        return {**os.environ, **self.addresses.environment(), "PORT": str(self.port), "PYTHONPATH": str(ROOT)}

    def ready(self) -> bool:
        """See Child."""
        return "ready" in self.log_since_start()


class PlainTornado(Peer):
    """A RequestHandler, redis-py, aiomysql, Tornado's own HTTP client."""

    words = (sys.executable, str(PEERS / "plain_tornado.py"))


class Node(Peer):
    """A server of npm's world; its packages are installed from our lock."""

    def environment(self) -> Mapping[str, str]:
        """See Child."""
        return {**super().environment(), "NODE_PATH": str(installed(PEERS)), "NODE_ENV": "production"}


class Express(Node):
    """Express 5, node-redis, mysql2."""

    words = ("node", str(PEERS / "express.js"))


class Fastify(Node):
    """Fastify 5, node-redis, mysql2."""

    words = ("node", str(PEERS / "fastify.js"))


_POOL = """[global]
error_log = {folder}/fpm.log
daemonize = no
pid = {folder}/fpm.pid
[www]
{user}listen = {folder}/fpm.socket
listen.backlog = 1024
pm = static
pm.max_children = {children}
"""

_NGINX = """daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/nginx-error.log warn;
{user}events {{ worker_connections 1024; }}
http {{
  access_log off;
  keepalive_requests 1000000000;
  client_body_temp_path {folder}/body; fastcgi_temp_path {folder}/fastcgi;
  proxy_temp_path {folder}/proxy; scgi_temp_path {folder}/scgi; uwsgi_temp_path {folder}/uwsgi;
  upstream php {{ server unix:{folder}/fpm.socket; keepalive {children}; }}
  server {{
    listen 127.0.0.1:{port} backlog=1024;
    location / {{
      fastcgi_pass php;
      fastcgi_keep_conn on;
      fastcgi_param SCRIPT_FILENAME {script};
      fastcgi_param REQUEST_METHOD $request_method;
      fastcgi_param CONTENT_TYPE $content_type;
      fastcgi_param CONTENT_LENGTH $content_length;
      fastcgi_param HTTP_AUTHORIZATION $http_authorization;
{params}
    }}
  }}
}}
"""


class PhpTutorial(Peer):
    """nginx with PHP-FPM, phpredis and PDO: two programs, which one shell keeps together."""

    keep = "0"  # whether connections to the stores are kept between requests

    def __init__(self, folder: Path, addresses: Addresses) -> None:
        super().__init__(folder, addresses)
        own = {**addresses.environment(), "KEEP": self.keep}
        own["MYSQL_DSN"] = f"mysql:host=127.0.0.1;port={own['MYSQL_PORT']};dbname={own['MYSQL_DB']};charset=utf8mb4"
        params = "\n".join(f'      fastcgi_param {name} "{value}";' for name, value in own.items())
        root = os.geteuid() == 0
        told = {
            "folder": folder,
            "children": _PHP_CHILDREN,
            "port": self.port,
            "params": params,
            "script": PEERS / "tutorial.php",
        }
        pool = _POOL.format(user="user = root\ngroup = root\n" if root else "", **told)
        (folder / "fpm.conf").write_text(pool, "utf-8")
        (folder / "nginx.conf").write_text(_NGINX.format(user="user root;\n" if root else "", **told), "utf-8")

    def command(self) -> Sequence[str]:
        """See Child."""
        fpm = f"{php_fpm()} --nodaemonize --allow-to-run-as-root --fpm-config {self.folder}/fpm.conf"
        nginx = f"{program('nginx')} -p {self.folder} -c {self.folder}/nginx.conf"
        return on_server_core(["sh", "-c", f"{fpm} & {nginx} & wait"])

    def kill(self) -> None:
        """See Child; PHP-FPM has left the process group."""
        with suppress(OSError, ValueError):
            os.kill(int((self.folder / "fpm.pid").read_text("ascii")), signal.SIGTERM)
        super().kill()

    def ready(self) -> bool:
        """See Child."""
        return (self.folder / "fpm.socket").exists() and (self.folder / "nginx.pid").exists()


class Php(PhpTutorial):
    """The same with connections kept, as somebody would have it who knows PHP."""

    keep = "1"


def php_fpm() -> str:
    """Debian names it after its version."""
    found = sorted(Path("/usr/sbin").glob("php-fpm*"))
    return str(found[-1]) if found else "php-fpm"
