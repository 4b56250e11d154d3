"""Running other programs and reading their answers. All of prl-submit does so through this module."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from msgspec import Struct

if TYPE_CHECKING:
    import subprocess

#: After so many seconds without an answer, the caller's `doubt` function is asked whether to give up.
DOUBT_S = 0.5


class Answer(Struct, frozen=True):
    """A program's exit code, stdout and stderr.

    `code` is 127 if the program is not installed, 126 if it cannot be started, and 124 if it did not
    answer in time.
    """

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
        """Run `argv`. `timeout` is in seconds; `environ` replaces our own environment.

        `doubt` is called once, after DOUBT_S seconds without an answer. If it returns a text, the
        program is killed and the text becomes the answer's stderr.
        """


def run(
    argv: Sequence[str],
    *,
    timeout: float,
    environ: Mapping[str, str] | None = None,
    stdin: str | None = None,
    doubt: Callable[[], str | None] | None = None,
) -> Answer:
    """Run a program and return its answer as text in UTF-8. Never raises for what the program does.

    The program runs in a session of its own, so that Ctrl-C reaches only prl-submit and does not end
    the program half way.
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
    """Wait for the answer and ask `doubt` on the way. Raises subprocess.TimeoutExpired."""
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
    return _answer(process, None, timeout)  # communicate() goes on sending the input it already has


def _answer(process: subprocess.Popen[bytes], given: bytes | None, timeout: float) -> Answer:
    out, err = process.communicate(given, timeout=timeout)
    return Answer(
        process.returncode, out.decode("utf-8", "replace"), err.decode("utf-8", "replace")
    )
