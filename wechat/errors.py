"""What can go wrong between a login code and a person, one class for each party that has to act.

    WeChatTrouble                the code did not become a person
    ├── CodeRefused              the phone: 40029, 41008, get a new code from wx.login
    │   └── PhoneCodeRefused     the person: 40029, tap the button again
    ├── CodeUsed                 the phone: 40163, this code was redeemed before
    ├── UserHighRisk             nobody: 40226, WeChat itself blocks this person
    ├── NotSeenLately            the phone: 61010, WeChat has not seen the person for two hours; wx.login, then again
    ├── WeChatBusy               time: "system busy" twice, a quota, the open breaker, too many logins waiting
    ├── WeChatUnreachable        the network: no name, no connection; nothing was sent
    ├── WeChatMisconfigured      the operator: WeChat refuses our credentials, our address, or TLS fails
    ├── WeChatUnusable           WeChat: the question was sent, the answer was cut or makes no sense
    └── WeChatSilent             the phone: the question was sent, the deadline came before the answer

None of them carries a secret, a code, a session_key or a URL, so their text may be logged. WeChat's own `errmsg` is not
kept either: it is free text; `errcode` and `rid` are what WeChat's support asks for. Of a refused address (40164) the
address alone is read out, because that is what an operator has to put on WeChat's list.
"""


class WeChatTrouble(Exception):
    """A login code that did not become a person.

    `errcode` is WeChat's number, None where WeChat gave none; `rid` its request id, empty where it gave none.
    `code_spent` is our best knowledge of whether WeChat may have redeemed the code: False only when nothing was sent
    or when WeChat refused by quota before looking at the code. The caller then gives its claim on the code back.
    """

    meaning = "the code did not become a person"

    def __init__(self, errcode: int | None = None, rid: str = "", *, why: str = "", code_spent: bool = True) -> None:
        self.errcode = errcode
        self.rid = rid
        self.why = why
        self.code_spent = code_spent
        super().__init__(self.meaning)

    def __str__(self) -> str:
        errcode = "" if self.errcode is None else f"errcode {self.errcode}"
        rid = f"rid {self.rid}" if self.rid else ""
        details = ", ".join(detail for detail in (self.why, errcode, rid) if detail)
        return f"{self.meaning} ({details})" if details else self.meaning


class CodeRefused(WeChatTrouble):
    """The code is unknown, too old, empty, or belongs to another mini program (40029, 41008)."""

    meaning = "WeChat does not accept this code"


class PhoneCodeRefused(CodeRefused):
    """The code of a getPhoneNumber button is unknown, too old, used, another app's or another person's."""

    meaning = "WeChat does not accept this phone code"


class CodeUsed(WeChatTrouble):
    """The code was redeemed before (40163; WeChat sends it though its own table leaves it out)."""

    meaning = "this code has been used"


class UserHighRisk(WeChatTrouble):
    """WeChat counts this person as high-risk and blocks the login (40226)."""

    meaning = "WeChat blocks this person as high-risk"


class NotSeenLately(WeChatTrouble):
    """WeChat checks what people write and show only for two hours after they were in the mini program (61010)."""

    meaning = "WeChat has not seen this person in the mini program lately"


class WeChatBusy(WeChatTrouble):
    """Later, perhaps: errcode -1, a quota (45009, 45011), the open breaker, or our own cap on waiting logins.

    `retry_after_seconds` is what the phone should wait.
    """

    meaning = "WeChat cannot be asked now"

    def __init__(
        self, retry_after_seconds: int, errcode: int | None = None, rid: str = "", *, why: str, code_spent: bool
    ) -> None:
        super().__init__(errcode, rid, why=why, code_spent=code_spent)
        self.retry_after_seconds = retry_after_seconds


class WeChatUnreachable(WeChatTrouble):
    """Nothing was sent: the name is unknown, the connection was refused or did not come up in time."""

    meaning = "WeChat cannot be reached"

    def __init__(self, why: str) -> None:
        super().__init__(why=why, code_spent=False)


class WeChatMisconfigured(WeChatTrouble):
    """An operator has to act: WeChat refuses our credentials or our address (errcode), or TLS fails (errcode None).

    `egress` is our address as WeChat sees it, where WeChat named one; it is not part of the text.
    """

    meaning = "WeChat refuses this server's configuration"

    def __init__(self, errcode: int | None, rid: str = "", *, why: str = "", egress: str | None = None) -> None:
        super().__init__(errcode, rid, why=why, code_spent=errcode is not None)
        self.egress = egress


class WeChatUnusable(WeChatTrouble):
    """The question was sent, and the answer was cut, redirected, not JSON, of wrong types, or an unknown number."""

    meaning = "WeChat's answer is unusable"

    def __init__(self, why: str, errcode: int | None = None, rid: str = "") -> None:
        super().__init__(errcode, rid, why=why)


class WeChatSilent(WeChatTrouble):
    """The question was sent, and no answer came before the deadline."""

    meaning = "WeChat did not answer in time"
