"""A private nginx with one site: one of those that we ship, or one of a test's own."""

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from children import Child, free_port
from product import ROOT
from servers import program


def shipped(name: str, places: Mapping[str, int]) -> str:
    """Return a site of deploy/nginx that leads elsewhere: ``{"127.0.0.1:8000": 40123}``, and speaks plain HTTP."""
    site = (ROOT / "deploy" / "nginx" / name).read_text("utf-8")
    for place, port in places.items():
        assert site.count(place) == 1
        site = site.replace(place, f"127.0.0.1:{port}")
    return re.sub(r"^ *ssl_.*\n", "", site, flags=re.MULTILINE)


class Nginx(Child):
    """An nginx whose site has one ``listen``, which gets a free port of this machine."""

    def __init__(self, folder: Path, site: str) -> None:
        super().__init__(folder)
        self.port = free_port()
        self.never_logged: set[str] = set()  # as phones look for it at every door; nginx logs no request
        site, listens = re.subn(r"listen [^;]+;", f"listen 127.0.0.1:{self.port};", site)
        assert listens == 1
        temporary = "".join(
            f"{kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        as_root = "user root;" if os.geteuid() == 0 else ""
        self._config = folder / "nginx.conf"
        self._config.write_text(
            f"{as_root} daemon off; pid {folder}/pid; error_log {folder}/error.log; worker_processes 1;"
            f" events {{ worker_connections 4096; }} http {{ access_log off; {temporary}\n{site}\n}}\n"
        )

    def command(self) -> Sequence[str]:
        """Return the command line."""
        return [program("nginx") or "nginx", "-e", f"{self.folder}/error.log", "-c", str(self._config)]

    def ready(self) -> bool:
        """Say whether it has begun."""
        return (self.folder / "pid").exists()

    @property
    def base(self) -> str:
        """The base URL."""
        return f"http://127.0.0.1:{self.port}"
