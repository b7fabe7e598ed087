"""The message push on the wire: WeChat's own numbers, and everything that is no message of WeChat's."""

import json

import pytest
from pushing import KEY, TOKEN, as_json, as_xml, sealed, sha1

from wechat.data import open_push
from wechat.push import (
    NotSigned,
    PushUnreadable,
    Signed,
    Unreadable,
    check_address,
    key_bytes,
    read_message,
    read_push,
    signature,
)

pytestmark = pytest.mark.quick

APPID = "wx0000000000000001"
AT = 1_790_000_000

# developers.weixin.qq.com/miniprogram/dev/framework/server-ability/message-push.html
OFFICIAL_TOKEN, OFFICIAL_KEY, OFFICIAL_APPID = "AAAAA", "A" * 43, "wxba5fad812f8e6fb9"
OFFICIAL = Signed(
    "1714112445",
    "415670741",
    "6c5c811b55cc85e0e1b54100749188c20beb3f5d",
    "046e02f8204d34f8ba5fa3b1db94908f3df2e9b3",
)
OFFICIAL_ENCRYPT = (
    "+qdx1OKCy+5JPCBFWw70tm0fJGb2Jmeia4FCB7kao+/Q5c/ohsOzQHi8khUOb05JCpj0JB4RvQMkUyus8TPxLKJGQqcvZqzDpVzazhZv6JsXUnnR"
    "8XGT740XgXZUXQ7vJVnAG+tE8NUd4yFyjPy7GgiaviNrlCTj+l5kdfMuFUPpRSrfMZuMcp3Fn2Pede2IuQrKEYwKSqFIZoNqJ4M8EajAsjLY2km3"
    "2IIjdf8YL/P50F7mStwntrA2cPDrM1kb6mOcfBgRtWygb3VIYnSeOBrebufAlr7F9mFUPAJGj04="
)


def address(encrypted: str = "", *, at: int = AT, token: str = TOKEN) -> Signed:
    """An address that WeChat signed."""
    return Signed(str(at), "n1", sha1(token, str(at), "n1"), sha1(token, str(at), "n1", encrypted))


def test_the_official_signatures_hold() -> None:
    assert signature("AAAAA", "1714036504", "1514711492") == "f464b24fc39322e44b38aa78f5edd27bd1441696"
    assert signature("AAAAA", "1714037059", "486452656") == "899cf89e464efb63f54ddac96b0a0a235f53aa78"


def test_the_official_message_of_secure_mode_is_read() -> None:
    body = json.dumps({"ToUserName": "gh_97417a04a28d", "Encrypt": OFFICIAL_ENCRYPT}).encode()
    asked = {"token": OFFICIAL_TOKEN, "key": OFFICIAL_KEY, "appid": OFFICIAL_APPID, "now": 1_714_112_445}
    message = read_push(body, OFFICIAL, **asked)  # type: ignore[arg-type]  # mypy sees one type for all values
    assert message.sealed
    assert (message["Event"], message["debug_str"], message["CreateTime"]) == (
        "debug_demo",
        "hello world",
        "1714112445",
    )


def test_the_official_reply_opens_too() -> None:
    encrypt = "ELGduP2YcVatjqIS+eZbp80MNLoAUWvzzyJxgGzxZO/5sAvd070Bs6qrLARC9nVHm48Y4hyRbtzve1L32tmxSQ=="
    assert open_push(key_bytes(OFFICIAL_KEY), encrypt, OFFICIAL_APPID) == b'{"demo_resp":"good luck"}'
    assert signature("AAAAA", "1713424427", "415670741", encrypt) == "1b9339964ed2e271e7c7b6ff2b0ef902fc94dea1"


@pytest.mark.parametrize("length", [0, 1, 11, 12, 13, 31, 32, 33, 4000])
def test_a_message_of_any_length_opens_as_it_was_sealed(length: int) -> None:
    message = b"x" * length
    assert open_push(key_bytes(KEY), sealed(message, APPID), APPID) == message


def test_a_message_sealed_for_another_mini_program_does_not_open() -> None:
    with pytest.raises(PushUnreadable):
        open_push(key_bytes(KEY), sealed(b"{}", "wx0000000000000002"), APPID)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "A",
        "!!!!",
        "é",
        "QUJD",
        pytest.param(sealed(b"{}", APPID)[:-24], id="cut off"),
        pytest.param(sealed(b"{}", APPID, "b" * 43), id="by another key"),
    ],
)
def test_what_is_no_sealed_message_does_not_open(text: str) -> None:
    with pytest.raises(PushUnreadable):
        open_push(key_bytes(KEY), text, APPID)


class TestSignatures:
    def test_a_message_is_fresh_for_ten_minutes_in_both_directions(self) -> None:
        for now in (AT - 600, AT, AT + 600):
            check_address(address(), TOKEN, now)
        for now in (AT - 601, AT + 601):
            with pytest.raises(NotSigned):
                check_address(address(), TOKEN, now)

    @pytest.mark.parametrize(
        "signed",
        [
            address(token="another"),
            Signed(str(AT), "n1", ""),
            Signed(str(AT), "n1", "0" * 40),
            Signed(str(AT), "n1", sha1(TOKEN, str(AT), "n1").upper()),
            Signed(str(AT), "n2", sha1(TOKEN, str(AT), "n1")),
            Signed("", "n1", sha1(TOKEN, "", "n1")),
            Signed("-1", "n1", sha1(TOKEN, "-1", "n1")),
            Signed("١٧", "n1", sha1(TOKEN, "١٧", "n1")),
            Signed(str(AT), "", sha1(TOKEN, str(AT), "")),
        ],
    )
    def test_an_address_that_wechat_did_not_sign_is_refused(self, signed: Signed) -> None:
        with pytest.raises(NotSigned):
            check_address(signed, TOKEN, AT)

    def test_with_a_key_the_signature_of_the_address_alone_proves_nothing(self) -> None:
        encrypted = sealed(b"{}", APPID)
        body, other = as_json({"Encrypt": encrypted}), sealed(b'{"Event":"x"}', APPID)
        assert read_push(body, address(encrypted), token=TOKEN, key=KEY, appid=APPID, now=AT).sealed
        for signed in (address(other), Signed(str(AT), "n1", address().signature)):
            with pytest.raises(NotSigned):
                read_push(body, signed, token=TOKEN, key=KEY, appid=APPID, now=AT)

    def test_with_a_key_a_message_that_is_not_sealed_is_refused(self) -> None:
        with pytest.raises(NotSigned):
            read_push(as_json({"Event": "x"}), address(), token=TOKEN, key=KEY, appid=APPID, now=AT)

    def test_compatible_mode_is_believed_in_its_sealed_part_alone(self) -> None:
        encrypted = sealed(as_json({"Event": "sealed"}), APPID)
        body = as_json({"Event": "plain", "OpenID": "oSomebody", "Encrypt": encrypted})
        message = read_push(body, address(encrypted), token=TOKEN, key=KEY, appid=APPID, now=AT)
        assert message.fields == {"Event": "sealed"}

    def test_without_a_key_a_plain_message_is_read_and_not_trusted(self) -> None:
        message = read_push(as_json({"Event": "x"}), address(), token=TOKEN, key=None, appid=APPID, now=AT)
        assert not message.sealed

    def test_without_a_key_a_sealed_message_is_refused(self) -> None:
        encrypted = sealed(b"{}", APPID)
        with pytest.raises(PushUnreadable):
            read_push(as_json({"Encrypt": encrypted}), address(), token=TOKEN, key=None, appid=APPID, now=AT)


class TestMessages:
    @pytest.mark.parametrize("write", [as_json, as_xml])
    def test_names_and_texts_lose_the_blanks_around_them(self, write: object) -> None:
        assert callable(write)
        assert read_message(write({"OpenID": " oMei ", "CreateTime": 7})) == {"OpenID": "oMei", "CreateTime": "7"}

    def test_json_with_blanks_in_its_keys_is_read_as_the_documents_print_it(self) -> None:
        assert read_message(b'{" Event ":"x"}') == {"Event": "x"}

    def test_what_stands_deeper_is_left_out(self) -> None:
        assert read_message(b'{"Event":"x","List":[1],"Object":{"Event":"y"},"No":null,"Yes":true}') == {"Event": "x"}
        assert read_message(b"<xml><Event>x</Event><List><Event>y</Event></List></xml>") == {"Event": "x"}

    def test_only_of_a_result_what_is_within_is_read(self) -> None:
        wanted = {"Event": "x", "result.suggest": "pass", "result.label": "100"}
        within = b'"result":{"suggest":"pass","label":100,"more":{"suggest":"y"}}'
        assert read_message(b'{"Event":"x",' + within + b',"detail":[{"suggest":"y"}]}') == wanted
        within = b"<result> <suggest>pass</suggest>\n<label>100</label><more><suggest>y</suggest></more></result>"
        twice = b"<detail><suggest>y</suggest></detail>" * 2
        assert read_message(b"<xml>" + twice + within + b"<Event>x</Event></xml>") == wanted
        for wrong in (b'"result":{"suggest":"a","suggest":"b"}', b'"result":{"suggest":"\\ud800"}'):
            with pytest.raises(Unreadable):
                read_message(b"{" + wrong + b"}")
        with pytest.raises(Unreadable):
            read_message(b"<xml>" + b"<result><suggest>a</suggest></result>" * 2 + b"</xml>")
        assert read_message(b'{"result":"pass"}') == {"result": "pass"}

    def test_xml_may_have_a_declaration_and_blanks_between(self) -> None:
        body = b'<?xml version="1.0" encoding="UTF-8"?>\n<xml>\n  <Event>x &amp; y</Event>\n</xml>\n'
        assert read_message(body) == {"Event": "x & y"}

    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"{}x",
            b"[]",
            b'"x"',
            b'{"a":1,}',
            b'{"a":"1","a":"2"}',
            b'{"a":"1"," a":"2"}',
            b'{"a":NaN}',
            b'{"":"x"}',
            b'{"a":"\\ud800"}',
            b'{"a":"\xff"}',
            b'{"a":' + b"9" * 5000 + b"}",
            b"[" * 50_000,
            b"<xml>",
            b"<other><Event>x</Event></other>",
            b"<xml><Event>x</Event><Event>y</Event></xml>",
            b'<xml a="1"><Event>x</Event></xml>',
            b"<xml><Event>&unknown;</Event></xml>",
            b"<xml><Event>\xff</Event></xml>",
            b"<xml>" + b"<a>" * 1000 + b"</a>" * 1000 + b"</xml>",
            b"<xml>" + b"".join(b"<a%d>x</a%d>" % (n, n) for n in range(65)) + b"</xml>",
            as_json({f"a{n}": "x" for n in range(65)}),
            as_json({"a" * 65: "x"}),
            as_json({"a": "x" * 40_000}),
            b"<?php x ?><xml><Event>x</Event></xml>",
            b'<?xml-stylesheet href="http://127.0.0.1/x"?><xml><Event>x</Event></xml>',
        ],
    )
    def test_what_is_no_message_is_refused(self, body: bytes) -> None:
        with pytest.raises(Unreadable):
            read_message(body)

    @pytest.mark.parametrize(
        "doctype",
        [
            "<!DOCTYPE xml>",
            '<!DOCTYPE xml [<!ENTITY e "expanded">]>',
            '<!DOCTYPE xml [<!ENTITY e SYSTEM "file:///etc/hostname">]>',
            '<!DOCTYPE xml SYSTEM "http://127.0.0.1:9/x.dtd">',
            '<!DOCTYPE xml [<!ENTITY % p SYSTEM "http://127.0.0.1:9/x.dtd"> %p;]>',
            '<!DOCTYPE xml [<!ENTITY a "' + "x" * 1000 + '"><!ENTITY e "' + "&a;" * 1000 + '">]>',
        ],
    )
    def test_no_document_type_and_no_entity_is_ever_read(self, doctype: str) -> None:
        with pytest.raises(Unreadable):
            read_message(f"{doctype}<xml><Event>&e;</Event></xml>".encode())
