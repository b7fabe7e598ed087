"""The playground's routes: who gets a page, a file or a code, and who does not."""

import asyncio
import json
import shutil
from pathlib import Path

import pytest
from phone import Answer, Network
from product import ROOT, DevServer, Product

from handlers.pages import PAGE_HEADERS

LEFT_OUT = ("tests", "data", "__pycache__", "docs", "build", "dist")


async def wx_login(server: DevServer, network: Network, body: object, **headers: str) -> Answer:
    """Ask for a code as a page would."""
    sent = {"Content-Type": "application/json"} | {name.replace("_", "-"): value for name, value in headers.items()}
    answer = await network.ask(
        "POST", f"{server.base}/playground/wx-login", headers=sent, body=json.dumps(body).encode()
    )
    if answer.status == 200:
        server.never_logged.add(answer.json["code"])
    return answer


class TestWxLogin:
    @pytest.mark.gen_test
    async def test_the_same_name_is_the_same_person(self, dev: DevServer, network: Network) -> None:
        ids = []
        for user in ("sun", "sun", "qian"):
            code = (await wx_login(dev, network, {"user": user})).json["code"]
            headers = {"Content-Type": "application/json"}
            body = json.dumps({"code": code}).encode()
            answer = (await network.ask("POST", f"{dev.base}/api/login", headers=headers, body=body)).json
            dev.never_logged.add(answer["token"])
            ids.append(answer["user"]["id"])
        assert ids[0] == ids[1] != ids[2]

    @pytest.mark.gen_test
    @pytest.mark.parametrize(
        "body", [{}, {"user": ""}, {"user": "x" * 65}, {"user": "x" * 10_000}, {"user": 7}, {"user": ["mei"]}]
    )
    async def test_what_is_no_name_is_refused(self, dev: DevServer, network: Network, body: object) -> None:
        answer = await wx_login(dev, network, body)
        assert answer.status == 400
        assert answer.json["errcode"] == 400001
        assert answer.json["field"] == "user"

    @pytest.mark.gen_test
    @pytest.mark.parametrize(
        "headers",
        [
            {"Origin": "https://evil.example"},
            {"Origin": "null"},
            {"Origin": "http://["},
            {"Origin": "http://a:99999999"},
            {"Origin": "http://é"},
            {"Origin": "x" * 8000},
            {"Origin": ""},
            {"Sec_Fetch_Site": "cross-site"},
            {"Sec_Fetch_Site": "same-site"},
        ],
        ids=lambda headers: " ".join(headers.values())[:30],
    )
    async def test_a_page_of_another_site_gets_no_code(
        self, dev: DevServer, network: Network, headers: dict[str, str]
    ) -> None:
        answer = await wx_login(dev, network, {"user": "mei"}, **headers)
        assert answer.status == 403
        told = answer.json
        assert (told["errcode"], told["error"], told["retry"]) == (403002, "cross_origin", "never")
        assert "Access-Control-Allow-Origin" not in answer.headers

    @pytest.mark.gen_test
    async def test_our_own_page_gets_one(self, dev: DevServer, network: Network) -> None:
        answer = await wx_login(dev, network, {"user": "mei"}, Origin=dev.base, Sec_Fetch_Site="same-origin")
        assert answer.status == 200


class TestRoutes:
    @pytest.mark.gen_test
    async def test_another_machine_is_not_shown_what_it_could_not_use(self, tmp_path: Path, network: Network) -> None:
        server = DevServer(tmp_path)
        server.settings["TRUSTED_PROXIES"] = "127.0.0.1/32"
        try:
            server.start()
            for address, status in [("127.0.0.1", 200), ("192.168.1.7", 404), ("::ffff:10.0.0.9", 404)]:
                headers = {"X-Forwarded-For": address}
                assert (await network.ask("GET", server.base, headers=headers)).status == status
                assert (await wx_login(server, network, {"user": "mei"}, X_Forwarded_For=address)).status == status
                assert (await network.ask("GET", f"{server.base}/healthz", headers=headers)).status == 200
        finally:
            server.kill()
        server.check_log()

    @pytest.mark.gen_test
    async def test_without_dev_there_is_no_playground(self, embedded: Product, network: Network) -> None:
        home = await network.ask("GET", f"{embedded.base}/")
        assert home.headers["Content-Type"].startswith("text/plain")
        headers = {"Content-Type": "application/json"}
        for method, path in [("POST", "/playground/wx-login"), ("GET", "/static/")]:
            body = b'{"user":"mei"}' if method == "POST" else b""
            assert (await network.ask(method, embedded.base + path, headers=headers, body=body)).status == 404

    @pytest.mark.gen_test
    @pytest.mark.parametrize("method", ["GET", "HEAD"])
    @pytest.mark.parametrize("path", ["/", "/static/page.css", "/static/nothing.css"])
    async def test_every_page_and_file_is_guarded(
        self, dev: DevServer, network: Network, method: str, path: str
    ) -> None:
        answer = await network.ask(method, dev.base + path)
        assert answer.status == (404 if "nothing" in path else 200)
        own = {"Content-Type", "Cache-Control"} if answer.status == 200 and path != "/" else set()
        for name in PAGE_HEADERS.keys() - own:
            assert answer.headers[name] == PAGE_HEADERS[name]
        assert "Server" not in answer.headers

    @pytest.mark.gen_test
    async def test_a_browser_asks_whether_its_copy_of_a_file_is_good(self, dev: DevServer, network: Network) -> None:
        url = f"{dev.base}/static/playground.js?v=1"
        first = await network.ask("GET", url)
        assert first.headers["Cache-Control"] == "no-cache"
        assert "javascript" in first.headers["Content-Type"]
        again = await network.ask("GET", url, headers={"If-None-Match": first.headers["ETag"]})
        assert again.status == 304

    @pytest.mark.gen_test
    async def test_a_wrong_method_is_refused_with_a_page(self, dev: DevServer, network: Network) -> None:
        answer = await network.ask("POST", dev.base, headers={"Accept-Language": "en"}, body=b"x")
        assert answer.status == 405
        assert set(answer.headers["Allow"].split(", ")) == {"GET", "HEAD"}
        assert "does not take that kind of request" in answer.body.decode()

    @pytest.mark.gen_test
    async def test_an_odd_host_is_not_repeated_in_commands(self, dev: DevServer, network: Network) -> None:
        answer = await network.ask("GET", dev.base, headers={"Host": "$(reboot)"})
        assert answer.status < 500
        assert b"reboot" not in answer.body

    @pytest.mark.gen_test
    @pytest.mark.parametrize(
        "path",
        [
            "/static/",
            "/static",
            "/static/../settings.py",
            "/static/%2e%2e/settings.py",
            "/static/..%2fsettings.py",
            "/static/..\\settings.py",
            "/static/..%5csettings.py",
            "/static//etc/passwd",
            "/static/%2fetc/passwd",
            "/static/page.css%00.png",
            "/static/%00",
            "/static/%ff",
            "/static/" + "x" * 5000,
            "/static/.git/config",
            "/.git/config",
            "/settings.py",
            "/templates/playground.html",
        ],
    )
    async def test_nothing_but_the_folder_s_files_is_served(self, dev: DevServer, path: str) -> None:
        status = await raw_status(dev.port, path)
        assert status in (400, 404)

    @pytest.mark.gen_test
    async def test_a_link_that_leads_out_of_the_folder_is_not_followed(self, tmp_path: Path, network: Network) -> None:
        house = tmp_path / "house"
        shutil.copytree(ROOT, house, ignore=shutil.ignore_patterns(".*", *LEFT_OUT))
        (house / "static" / "out.txt").symlink_to(house / "requirements.in")
        (house / "static" / "in.css").symlink_to(house / "static" / "page.css")
        server = DevServer(tmp_path / "server", house)
        try:
            server.start()
            assert (await network.ask("GET", f"{server.base}/static/in.css")).status == 200
            assert (await network.ask("GET", f"{server.base}/static/out.txt")).status == 404
        finally:
            server.kill()
        server.check_log()

    def test_the_page_is_light(self) -> None:
        css = sum((ROOT / "static" / name).stat().st_size for name in ("page.css", "playground.css"))
        assert css < 12_000
        assert (ROOT / "static/playground.js").stat().st_size < 12_000


async def raw_status(port: int, path: str) -> int:
    """Ask for a path exactly as it stands; every client library would tidy it first."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n".encode("latin-1"))
    answer = await reader.read()
    writer.close()
    return int(answer.split(b" ", 2)[1])
