"""`$(NAME)` in commands, arguments and values, as Kubernetes expands it."""

from __future__ import annotations

from collections.abc import Mapping


def expand(text: str, values: Mapping[str, str]) -> str:
    """`$(NAME)` replaced where the name is known, `$$` by `$`."""
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
    """What stands for a dollar sign and what follows it, and how many bytes of that it uses."""
    first = data[:1]
    if first == b"$":
        return b"$", 1
    if first == b"(":
        end = data.find(b")")
        if end < 0:
            return b"$(", 1
        name = data[1:end].decode()
        return values.get(name, f"$({name})").encode(), end + 1
    # The original takes a byte for a character here, and so spoils what is not ASCII.
    return b"$" + chr(first[0]).encode(), 1
