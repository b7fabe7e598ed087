"""What a phone got from WeChat and hands over: a phone code, encrypted or signed data, the question about its key."""

import actions
from handlers.base import Intake
from handlers.body import text_field
from handlers.miniprogram import PersonHandler, masked

MOST_DATA_BYTES = 256 * 1024


class Phone(PersonHandler):
    """POST /api/phone"""

    async def post(self) -> None:
        """Binds the number behind the code of a getPhoneNumber button."""
        verified = await self.verified()
        code = text_field(self.body(), "code")
        user = await self.unless_hung_up(actions.bind_phone(self.backend, verified.session, code))
        self.answer(phone=masked(user.phone))


class Decrypt(PersonHandler):
    """POST /api/decrypt"""

    intake = Intake(most_bytes=MOST_DATA_BYTES)

    async def post(self) -> None:
        """Gives what stands in encryptedData, when all of it holds."""
        verified = await self.verified()
        body = self.body()
        encrypted_data, iv = text_field(body, "encryptedData"), text_field(body, "iv")
        self.answer(data=await actions.decrypt(self.backend, verified.session, encrypted_data, iv))


class Signature(PersonHandler):
    """POST /api/signature"""

    async def post(self) -> None:
        """Says whether WeChat has signed this rawData for this login."""
        verified = await self.verified()
        body = self.body()
        raw_data, signature = text_field(body, "rawData"), text_field(body, "signature")
        self.answer(valid=actions.has_signed(self.backend, verified.session, raw_data, signature))


class SessionKeyCheck(PersonHandler):
    """POST /api/session-key/check"""

    intake = Intake(type_may_be_missing=True)

    async def post(self) -> None:
        """Asks WeChat whether the session_key of this login is still the phone's."""
        verified = await self.verified()
        self.answer(valid=await actions.key_holds(self.backend, verified.session))
