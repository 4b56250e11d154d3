"""Replace `$(NAME)` in commands, arguments and values, as Kubernetes does."""

from __future__ import annotations

from collections.abc import Mapping


def expand(text: str, values: Mapping[str, str]) -> str:
    """The text with each `$(NAME)` replaced if the name is known, and `$$` by `$`."""
    data, done, at = text.encode(), bytearray(), 0
    while at < len(data):
        if data[at : at + 1] != b"$" or at + 1 == len(data):
            done += data[at : at + 1]
            at += 1
            continue
        piece, used = _read(data[at + 1 :], values)
        done += piece
        at += 1 + used
    return done.decode(errors="surrogateescape")


def _read(data: bytes, values: Mapping[str, str]) -> tuple[bytes, int]:
    """The replacement of `$` and what follows it, and how many of the following bytes it replaces."""
    first = data[:1]
    if first == b"$":
        return b"$", 1
    if first == b"(":
        end = data.find(b")")
        if end < 0:
            return b"$(", 1
        name = data[1:end].decode()
        return values.get(name, f"$({name})").encode(), end + 1
    # Kubernetes takes a byte for a character here, and so spoils characters beyond ASCII; so do we.
    return b"$" + chr(first[0]).encode(), 1
