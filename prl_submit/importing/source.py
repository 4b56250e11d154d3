"""The bytes of a script -> its text, where it is one."""

from __future__ import annotations

import re

from prl_submit.errors import Problem

MAX_BYTES = 1_000_000


def decode(data: bytes, file: str) -> tuple[str, Problem | None]:
    """The text, or what is in the way of reading it."""

    def wrong(message: str, hint: str | None, line: int | None = None) -> tuple[str, Problem]:
        return "", Problem(file=file, line=line, key=None, message=message, hint=hint)

    if len(data) > MAX_BYTES:
        return wrong(f"is larger than {MAX_BYTES:,} bytes, which no training script is", None)
    if b"\0" in data:
        return wrong("is not text: it holds NUL bytes", "give a shell script in UTF-8")
    if b"\r\n" in data:
        line = data[: data.index(b"\r\n")].count(b"\n") + 1
        hint = f"bash cannot run it either: sed -i 's/\\r$//' {file}"
        return wrong("has Windows line ends (CRLF)", hint, line)
    if (odd := re.search(rb"[\r\v\f]", data)) is not None:
        line = data[: odd.start()].count(b"\n") + 1
        hint = "bash takes it for text, and shows it as a blank; remove it"
        return wrong(f"holds a control character, 0x{odd[0][0]:02x}", hint, line)
    try:
        return data.decode("utf-8"), None
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        return wrong(f"is not UTF-8: byte 0x{data[error.start]:02x}", "save it as UTF-8", line)
