"""A certificate authority of a test's own, and servers' certificates that it signs."""

import ssl
import subprocess
from dataclasses import dataclass
from pathlib import Path


def openssl(directory: Path, *words: str) -> None:
    """Run one command of openssl in a directory; it must succeed."""
    subprocess.run(["openssl", *words], cwd=directory, check=True, capture_output=True, timeout=30)


@dataclass(frozen=True)
class Authority:
    """A private certificate authority in a directory of its own."""

    directory: Path

    @classmethod
    def made_in(cls, directory: Path) -> "Authority":
        """Make one, good for a day."""
        key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", "ca.key"]
        openssl(directory, "req", "-x509", *key, "-subj", "/CN=a test authority", "-days", "1", "-out", "ca.pem")
        return cls(directory)

    @property
    def cafile(self) -> str:
        """The file with its own certificate, for those who shall trust it."""
        return str(self.directory / "ca.pem")

    def server(self, name: str = "localhost", *, since: str = "", until: str = "") -> ssl.SSLContext:
        """A TLS server's context with a certificate for `name`; times are YYYYMMDDHHMMSSZ, now and a day by default."""
        key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", "key.pem"]
        openssl(self.directory, "req", *key, "-subj", f"/CN={name}", "-out", "request.pem")
        (self.directory / "names").write_text(f"subjectAltName=DNS:{name}\n")
        (self.directory / "index").write_text("")
        (self.directory / "serial").write_text("01")
        (self.directory / "ca.conf").write_text(CA_CONF)
        times = [*(["-startdate", since] if since else []), *(["-enddate", until] if until else ["-days", "1"])]
        signing = ["ca", "-batch", "-config", "ca.conf", "-extfile", "names", "-cert", "ca.pem", "-keyfile", "ca.key"]
        openssl(self.directory, *signing, *times, "-in", "request.pem", "-out", "cert.pem", "-notext")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.directory / "cert.pem", self.directory / "key.pem")
        return context


CA_CONF = """[ca]
default_ca = it
[it]
database = index
serial = serial
new_certs_dir = .
default_md = sha256
policy = any
[any]
commonName = supplied
"""
