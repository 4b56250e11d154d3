"""The only door to other programs whose answer we read."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from msgspec import Struct

if TYPE_CHECKING:
    import subprocess

#: Seconds after which a program that has not answered is doubted.
DOUBT_S = 0.5


class Answer(Struct, frozen=True):
    """What a program said. `code` is 127 where it is not installed, 124 where it took too long."""

    code: int
    out: str
    err: str


class Shell(Protocol):
    """Runs a program and waits for it."""

    def __call__(
        self,
        argv: Sequence[str],
        *,
        timeout: float,
        environ: Mapping[str, str] | None = None,
        stdin: str | None = None,
        doubt: Callable[[], str | None] | None = None,
    ) -> Answer:
        """`timeout` in seconds; `environ` instead of ours.

        `doubt` is asked once, after DOUBT_S without an answer: what it returns ends the waiting.
        """


def run(
    argv: Sequence[str],
    *,
    timeout: float,
    environ: Mapping[str, str] | None = None,
    stdin: str | None = None,
    doubt: Callable[[], str | None] | None = None,
) -> Answer:
    """Run a program for real, UTF-8; never raises for what the program does.

    In a session of its own: Ctrl-C is for us, and must not end it half way.
    """
    import subprocess

    given = None if stdin is None else stdin.encode("utf-8")
    try:
        process = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL if given is None else subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environ,
            start_new_session=True,
        )
    except FileNotFoundError:
        return Answer(127, "", f"{argv[0]}: not installed")
    except OSError as error:
        return Answer(126, "", f"{argv[0]}: {error.strerror}")
    with process:
        try:
            return _wait(process, given, timeout, doubt)
        except subprocess.TimeoutExpired:
            process.kill()
            return Answer(124, "", f"{argv[0]}: no answer within {timeout:g} s")
        except BaseException:
            process.kill()
            raise


def _wait(
    process: subprocess.Popen[bytes],
    given: bytes | None,
    timeout: float,
    doubt: Callable[[], str | None] | None,
) -> Answer:
    """Raises subprocess.TimeoutExpired."""
    import subprocess

    if doubt is None:
        return _answer(process, given, timeout)
    try:
        return _answer(process, given, DOUBT_S)
    except subprocess.TimeoutExpired:
        why = doubt()
    if why is not None:
        process.kill()
        return Answer(124, "", why)
    return _answer(process, None, timeout)  # what was given goes on being sent


def _answer(process: subprocess.Popen[bytes], given: bytes | None, timeout: float) -> Answer:
    out, err = process.communicate(given, timeout=timeout)
    return Answer(
        process.returncode, out.decode("utf-8", "replace"), err.decode("utf-8", "replace")
    )
