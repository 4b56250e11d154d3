"""The only door to other programs whose answer we read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from msgspec import Struct


class Answer(Struct, frozen=True):
    """What a program said. `code` is 127 where it is not installed, 124 where it took too long."""

    code: int
    out: str
    err: str


class Shell(Protocol):
    """Runs a program and waits for it."""

    def __call__(self, argv: Sequence[str], *, timeout: float) -> Answer:
        """`timeout` in seconds."""


def run(argv: Sequence[str], *, timeout: float) -> Answer:
    """Run a program for real; no standard input, UTF-8, never raises for what the program does."""
    import subprocess

    try:
        done = subprocess.run(
            argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=timeout, check=False
        )
    except FileNotFoundError:
        return Answer(127, "", f"{argv[0]}: not installed")
    except subprocess.TimeoutExpired:
        return Answer(124, "", f"{argv[0]}: no answer within {timeout:g} s")
    except OSError as error:
        return Answer(126, "", f"{argv[0]}: {error.strerror}")
    return Answer(
        done.returncode,
        done.stdout.decode("utf-8", "replace"),
        done.stderr.decode("utf-8", "replace"),
    )
