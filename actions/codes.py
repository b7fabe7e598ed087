"""What a code of WeChat's looks like."""

import re

_CODE = re.compile(r"[0-9A-Za-z_-]{1,128}", re.ASCII)


class CodeMalformed(Exception):
    """No code of WeChat's looks like that."""

    errcode = 400003


def checked_code(code: str) -> str:
    """The code itself. Raises CodeMalformed."""
    if not _CODE.fullmatch(code):
        raise CodeMalformed
    return code
