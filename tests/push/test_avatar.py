"""The picture that a person sends: taken only as a picture, kept small and bare, served to whoever knows its name."""

import io
from collections.abc import Callable

import pytest
from backends import BACKENDS, Backend
from operator_at import change
from phone import Answer, Network, Phone
from PIL import Image
from product import Product
from verdicts import refused, succeeded

Phones = Callable[..., list[Phone]]
MakeServer = Callable[..., Product]
SERVED = BACKENDS[1]
BOUNDARY = "----WebKitFormBoundaryk3Xo0Q7VtWg1"
TYPE = f"multipart/form-data; boundary={BOUNDARY}"


def picture(kind: str = "PNG", size: tuple[int, int] = (900, 600), mode: str = "RGB", **options: object) -> bytes:
    written = io.BytesIO()
    Image.new(mode, size, "red").save(written, kind, **options)
    return written.getvalue()


def part(content: bytes, name: str = "file", file: str | None = "me.png", more: str = "") -> bytes:
    named = f'; filename="{file}"' if file is not None else ""
    head = f'Content-Disposition: form-data; name="{name}"{named}\r\n{more}\r\n'
    return head.encode() + content


def upload(*parts: bytes, boundary: str = BOUNDARY, end: str = "--\r\n") -> bytes:
    joined = b"".join(f"--{boundary}\r\n".encode() + each + b"\r\n" for each in parts)
    return joined + f"--{boundary}{end}".encode()


async def send(phone: Phone, body: bytes, content_type: str = TYPE) -> Answer:
    headers = {**phone.bearer, "Content-Type": content_type}
    return await phone.request("POST", "/api/me/avatar", data=body, headers=headers)


async def kept(phone: Phone) -> str:
    """Send a good picture; gives the address that the profile has now."""
    found = succeeded(await send(phone, upload(part(picture()))))
    return str(found["avatar_url"])


class TestTakenIn:
    @pytest.mark.gen_test
    @pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
    async def test_a_picture_becomes_a_small_jpeg_at_an_address_of_its_own(
        self, server: Product, phone: Phone, network: Network, kind: str
    ) -> None:
        succeeded(await phone.login())
        found = succeeded(await send(phone, upload(part(b"mei", "user", None), part(picture(kind)))))
        path = found["avatar_url"]
        assert path.startswith("/avatars/")
        assert len(path) == len("/avatars/") + 32
        assert succeeded(await phone.me())["avatar_url"] == path
        answer = await network.ask("GET", server.base + path)
        assert answer.status == 200
        assert answer.headers["Content-Type"] == "image/jpeg"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'; sandbox")
        assert answer.headers["Cache-Control"] == "private, max-age=31536000, immutable"
        assert "Server" not in answer.headers
        with Image.open(io.BytesIO(answer.body)) as shown:
            assert (shown.format, shown.size) == ("JPEG", (512, 341))

    @pytest.mark.gen_test
    async def test_nothing_that_stood_beside_the_pixels_is_kept(self, embedded: Product, phone: Phone) -> None:
        exif = Image.Exif()
        exif[0x010F], exif[0x0112], exif[0x013B] = "SecretCamera", 6, "SecretArtist"
        body = picture("JPEG", (300, 100), exif=exif.tobytes(), comment=b"SecretComment") + b"<?php SecretTail"
        succeeded(await phone.login())
        path = succeeded(await send(phone, upload(part(body))))["avatar_url"]
        answer = await phone.request("GET", path)
        assert b"Secret" not in answer.body
        with Image.open(io.BytesIO(answer.body)) as shown:
            assert shown.size == (100, 300)  # turned as the camera was held
            assert not shown.getexif()

    @pytest.mark.gen_test
    async def test_what_one_could_see_through_is_white(self, embedded: Product, phone: Phone) -> None:
        written = io.BytesIO()
        Image.new("RGBA", (40, 40), (0, 0, 0, 0)).save(written, "PNG")
        succeeded(await phone.login())
        path = succeeded(await send(phone, upload(part(written.getvalue()))))["avatar_url"]
        with Image.open(io.BytesIO((await phone.request("GET", path)).body)) as shown:
            assert shown.convert("RGB").getpixel((20, 20)) == (255, 255, 255)

    @pytest.mark.gen_test
    async def test_what_is_no_picture_of_ours_is_415_and_changes_nothing(self, embedded: Product, phone: Phone) -> None:
        succeeded(await phone.login())
        path = await kept(phone)
        png = picture()
        for body in (
            b"",
            b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>",
            b"<html><script>1</script>",
            picture("GIF", (40, 40)),
            picture("BMP", (40, 40)),
            picture("TIFF", (40, 40)),
            png[:200],
            b"\x89PNG\r\n\x1a\n" + b"\0" * 500,
            b"\xff\xd8\xff" + b"\0" * 500,
            b"RIFF\0\0\0\0WAVEfmt " + b"\0" * 100,
            b"%PDF-1.4",
        ):
            refused(await send(phone, upload(part(body))), 415001)
        assert succeeded(await phone.me())["avatar_url"] == path

    @pytest.mark.gen_test
    async def test_a_small_file_that_would_unfold_to_a_huge_picture_is_413(
        self, embedded: Product, phone: Phone
    ) -> None:
        succeeded(await phone.login())
        written = io.BytesIO()
        Image.new("1", (20_000, 20_000)).save(written, "PNG")
        assert len(written.getvalue()) < 100_000
        refused(await send(phone, upload(part(written.getvalue()))), 413001)

    @pytest.mark.filterwarnings("ignore:Sending a large body:ResourceWarning")  # aiohttp's advice to a client
    @pytest.mark.gen_test
    async def test_a_file_of_a_mebibyte_is_taken_and_one_byte_more_is_413(
        self, embedded: Product, phone: Phone
    ) -> None:
        succeeded(await phone.login())
        png = picture()
        full = png + b"\0" * (1024 * 1024 - len(png))
        succeeded(await send(phone, upload(part(full))))
        refused(await send(phone, upload(part(full + b"\0"))), 413001)
        refused(await send(phone, upload(part(full), part(b"x" * 9_000, "note", None))), 413001)

    @pytest.mark.gen_test
    @pytest.mark.parametrize(
        ("body", "content_type"),
        [
            (b"", TYPE),
            (upload(), TYPE),
            (upload(part(b"x", file=None)), TYPE),
            (upload(part(picture()), part(picture())), TYPE),
            (upload(part(picture()), end=""), TYPE),
            (upload(part(picture()), end="--\r\ntail"), TYPE),
            (b"preamble\r\n" + upload(part(picture())), TYPE),
            (upload(part(picture())).replace(b"\r\n\r\n", b"\n\n"), TYPE),
            (upload(part(picture()), boundary="other"), TYPE),
            (upload(part(picture())), "multipart/form-data"),
            (upload(part(picture())), f"{TYPE}; boundary=other"),
            (upload(part(picture()), boundary="x" * 71), "multipart/form-data; boundary=" + "x" * 71),
            (upload(part(picture(), more="X-Pad: " + "x" * 2_000 + "\r\n")), TYPE),
            (upload(*[part(b"x", "n", None)] * 8, part(picture())), TYPE),
            (upload(part(picture()).replace(b"form-data", b"attachment")), TYPE),
            (upload(b"no headers at all"), TYPE),
        ],
    )
    async def test_a_body_that_is_no_upload_is_400(
        self, embedded: Product, phone: Phone, body: bytes, content_type: str
    ) -> None:
        succeeded(await phone.login())
        answer = await send(phone, body, content_type)
        assert answer.json["errcode"] == 400001, answer.body

    @pytest.mark.gen_test
    async def test_eight_parts_are_not_too_many(self, embedded: Product, phone: Phone) -> None:
        succeeded(await phone.login())
        succeeded(await send(phone, upload(*[part(b"x", "n", None)] * 7, part(picture()))))

    @pytest.mark.gen_test
    async def test_only_here_a_multipart_body_is_taken_and_here_nothing_else(
        self, embedded: Product, phone: Phone
    ) -> None:
        succeeded(await phone.login())
        body = upload(part(picture()))
        headers = {**phone.bearer, "Content-Type": TYPE}
        refused(await phone.request("POST", "/api/login", data=body, headers=headers), 415001)
        refused(await phone.request("PUT", "/api/me", data=body, headers=headers), 415001)
        refused(await phone.request("POST", "/api/me/avatar", json={}, headers=phone.bearer), 415001)
        forged = {**headers, "Content-Type": "multipart/form-data", "X-Menshen-Body-Type": TYPE}
        refused(await phone.request("POST", "/api/me/avatar", data=body, headers=forged), 400001)

    @pytest.mark.gen_test
    async def test_without_a_session_no_picture_is_taken(self, embedded: Product, phone: Phone) -> None:
        refused(await send(phone, upload(part(picture()))), 401002)
        headers = {"Content-Type": TYPE}
        answer = await phone.request("POST", "/api/me/avatar", data=upload(part(picture())), headers=headers)
        refused(answer, 401001)


class TestKept:
    @pytest.mark.gen_test
    async def test_a_new_picture_has_a_new_name_and_the_old_one_is_gone(self, server: Product, phone: Phone) -> None:
        succeeded(await phone.login())
        first, second = await kept(phone), await kept(phone)
        assert first != second
        refused(await phone.request("GET", first), 404001)
        assert (await phone.request("GET", second)).status == 200

    @pytest.mark.gen_test
    async def test_erasing_oneself_takes_the_picture_along(self, server: Product, phone: Phone) -> None:
        succeeded(await phone.login())
        path = await kept(phone)
        succeeded(await phone.request("DELETE", "/api/me", headers=phone.bearer))
        refused(await phone.request("GET", path), 404001)

    @pytest.mark.gen_test
    async def test_the_own_path_may_be_set_again_and_anything_else_lets_the_picture_go(
        self, server: Product, phone: Phone, phones: Phones
    ) -> None:
        succeeded(await phone.login())
        [other] = phones(1, at=server)
        succeeded(await other.login())
        path, theirs = await kept(phone), await kept(other)

        async def put(avatar_url: str | None) -> Answer:
            return await phone.request("PUT", "/api/me", json={"avatar_url": avatar_url}, headers=phone.bearer)

        assert succeeded(await put(path))["avatar_url"] == path
        succeeded(await phone.request("PUT", "/api/me", json={"nickname": "Mei"}, headers=phone.bearer))
        assert (await phone.request("GET", path)).status == 200
        for wrong in (theirs, "/avatars/../admin", "/avatars/" + "x" * 32, "/static/menshen.svg"):
            refused(await put(wrong), 400001, field="avatar_url")
        assert (await phone.request("GET", path)).status == 200
        assert succeeded(await put(None))["avatar_url"] is None
        refused(await phone.request("GET", path), 404001)
        assert (await phone.request("GET", theirs)).status == 200

    @pytest.mark.gen_test
    async def test_the_copy_of_ones_data_names_the_picture(self, embedded: Product, phone: Phone) -> None:
        succeeded(await phone.login())
        assert succeeded(await phone.request("GET", "/api/me/export", headers=phone.bearer))["avatar"] is None
        path = await kept(phone)
        named = succeeded(await phone.request("GET", "/api/me/export", headers=phone.bearer))["avatar"]
        assert named["path"] == path
        assert named["type"] == "image/jpeg"
        assert named["bytes"] == len((await phone.request("GET", path)).body)

    @pytest.mark.gen_test
    async def test_with_a_public_url_a_phone_gets_an_address_that_it_can_load(
        self, make_server: MakeServer, phones: Phones
    ) -> None:
        [phone] = phones(1, at=make_server(PUBLIC_URL="https://login.example.com"))
        succeeded(await phone.login())
        url = await kept(phone)
        path = url.removeprefix("https://login.example.com")
        assert path.startswith("/avatars/")
        again = await phone.request("PUT", "/api/me", json={"avatar_url": url}, headers=phone.bearer)
        assert succeeded(again)["avatar_url"] == url
        assert (await phone.request("GET", path)).status == 200

    @pytest.mark.gen_test
    async def test_a_name_that_nobody_has_is_404(self, server: Product, phone: Phone) -> None:
        refused(await phone.request("GET", "/avatars/" + "A" * 32), 404001)
        assert (await phone.request("GET", "/avatars/x")).status == 404
        assert (await phone.request("GET", "/avatars/..%2f..%2fetc")).status == 404

    @pytest.mark.gen_test
    async def test_a_picture_that_comes_after_the_erasure_is_kept_nowhere(
        self, make_server: MakeServer, phones: Phones, backend: Backend
    ) -> None:
        server = make_server(**backend.fresh())
        [phone] = phones(1, at=server)
        user = succeeded(await phone.login())["user"]["id"]
        await change(server, "DELETE FROM user WHERE id = :id", id=user)
        refused(await send(phone, upload(part(picture()))), 401002)

    @pytest.mark.parametrize("backend", [SERVED], indirect=True)  # an embedded database is not away
    @pytest.mark.gen_test
    async def test_while_users_are_away_a_picture_is_503(
        self, make_server: MakeServer, phones: Phones, backend: Backend
    ) -> None:
        assert backend.mariadb is not None
        [phone] = phones(1, at=make_server(**backend.fresh()))
        succeeded(await phone.login())
        path = await kept(phone)
        backend.mariadb.freeze()
        refused(await send(phone, upload(part(picture()))), 503002)
        refused(await phone.request("GET", path), 503002)
