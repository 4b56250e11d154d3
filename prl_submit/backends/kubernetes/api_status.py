"""Kubernetes' `Status` object (meta/v1): why the API server refused, or how an exec'd program ended."""

from __future__ import annotations

import re

import msgspec
from msgspec import Struct

from prl_submit.system.untrusted_text import excerpt

#: The message of the RBAC authorizer (kube-apiserver 1.20 to 1.36).
_NOT_ALLOWED = re.compile(r'User "[^"]*" cannot \S+ (resource|path) ')
#: At most this many bytes of an answer that is not a Status are decoded; a proxy's page may be long.
_READ = 65536


class StatusCause(Struct, frozen=True):
    """One cause of a failure. The exit code of an exec'd program is only here."""

    reason: str = ""
    message: str = ""


class StatusDetails(Struct, frozen=True):
    """The causes of a failure."""

    causes: tuple[StatusCause, ...] = ()


class ApiStatus(Struct, frozen=True):
    """A `Status` object. `code`: the HTTP status. `status`: Success or Failure."""

    code: int = 0
    reason: str = ""
    message: str = ""
    status: str = ""
    details: StatusDetails | None = None

    @property
    def exit_code(self) -> int | None:
        """The exit code of an exec'd program, 0 to 255; None if it could not be started."""
        if self.status == "Success":
            return 0
        causes = self.details.causes if self.details else ()
        codes = [cause.message for cause in causes if cause.reason == "ExitCode"]
        return int(codes[0]) if codes and codes[0].isdigit() else None


class RefusedStatusError(Exception):
    """The API server answered with an error. `status`: the answer."""

    def __init__(self, status: ApiStatus) -> None:
        super().__init__(status.message)
        self.status = status


def is_about_rights(status: ApiStatus) -> bool:
    """True if the authorizer refused. Quotas and admission plugins answer with 403 too."""
    return status.code == 403 and bool(_NOT_ALLOWED.search(status.message))


def refusal(code: int, content: bytes) -> RefusedStatusError:
    """The error for an HTTP answer with that code. A proxy's answer need not be a Status object."""
    try:
        status = msgspec.json.decode(content, type=ApiStatus)
    except ValueError:
        text = excerpt(content[:_READ].decode("utf-8", "replace"), 500)
        return RefusedStatusError(ApiStatus(code, "", text or f"HTTP {code}"))
    return RefusedStatusError(msgspec.structs.replace(status, code=status.code or code))
