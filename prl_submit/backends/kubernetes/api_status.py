"""What the API server says where it refuses, and how a program in a container ended (meta/v1 ApiStatus)."""

from __future__ import annotations

import re

import msgspec
from msgspec import Struct

from prl_submit.system.excerpt import excerpt

#: The authorizer's words (apiserver 1.20 to 1.36).
_NOT_ALLOWED = re.compile(r'User "[^"]*" cannot \S+ (resource|path) ')
#: Bytes of an answer that is no ApiStatus: a proxy's page may be long.
_READ = 65536


class Cause(Struct, frozen=True):
    """One of `details`: an exit code is told here alone."""

    reason: str = ""
    message: str = ""


class Details(Struct, frozen=True):
    """More on a failure."""

    causes: tuple[Cause, ...] = ()


class ApiStatus(Struct, frozen=True):
    """An answer that is no object."""

    code: int = 0
    reason: str = ""
    message: str = ""
    status: str = ""
    details: Details | None = None

    @property
    def exit_code(self) -> int | None:
        """Of a program, 0 to 255; None where it could not be started."""
        if self.status == "Success":
            return 0
        causes = self.details.causes if self.details else ()
        codes = [cause.message for cause in causes if cause.reason == "ExitCode"]
        return int(codes[0]) if codes and codes[0].isdigit() else None


class RefusedStatusError(Exception):
    """The API server answered with an error."""

    def __init__(self, status: ApiStatus) -> None:
        super().__init__(status.message)
        self.status = status


def is_about_rights(status: ApiStatus) -> bool:
    """Whether the authorizer refused, and not a quota or an admission plugin, which say 403 too."""
    return status.code == 403 and bool(_NOT_ALLOWED.search(status.message))


def refusal(code: int, content: bytes) -> RefusedStatusError:
    """The error that an HTTP answer is; `content` may be no ApiStatus, behind a proxy."""
    try:
        status = msgspec.json.decode(content, type=ApiStatus)
    except ValueError:
        text = excerpt(content[:_READ].decode("utf-8", "replace"), 500)
        return RefusedStatusError(ApiStatus(code, "", text or f"HTTP {code}"))
    return RefusedStatusError(msgspec.structs.replace(status, code=status.code or code))
