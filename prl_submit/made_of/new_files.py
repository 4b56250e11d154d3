"""Files that git does not know, as a part of a difference: pure, but for reading them."""

from __future__ import annotations

import os
import stat

from prl_submit.system.reading import open_regular

#: The largest file that git does not know and that is kept.
MAX_BYTES = 256 << 10
#: Git takes a file for binary that has a NUL in its first bytes.
_LOOKED_AT = 8000


def as_difference(path: str, content: bytes, mode: int) -> str | None:
    """A new file as `git diff` shows it; None for a binary file."""
    if b"\0" in content[:_LOOKED_AT]:
        return None
    kind = "100755" if mode & stat.S_IXUSR else "100644"
    head = f"diff --git {quoted(f'a/{path}')} {quoted(f'b/{path}')}\nnew file mode {kind}\n"
    lines = content.decode("utf-8", "replace").split("\n")
    end = "\n\\ No newline at end of file\n" if lines[-1] else "\n"
    if not lines[-1]:
        lines.pop()
    if not lines:
        return head
    range_ = "1" if len(lines) == 1 else f"1,{len(lines)}"
    body = "\n".join(f"+{line}" for line in lines)
    return f"{head}--- /dev/null\n+++ {quoted(f'b/{path}')}\n@@ -0,0 +{range_} @@\n{body}{end}"


def quoted(path: str) -> str:
    """A path as git writes it: in quotes if it has control characters, quotes or backslashes."""
    if not any(char < " " or char in '"\\\x7f' for char in path):
        return path
    named = {"\t": "\\t", "\n": "\\n", "\r": "\\r", '"': '\\"', "\\": "\\\\"}
    text = "".join(
        named.get(char, f"\\{ord(char):03o}" if char < " " or char == "\x7f" else char)
        for char in path
    )
    return f'"{text}"'


def read_new_file(root: str, path: str) -> tuple[bytes, int] | str:
    """The content and the mode of a file that git does not know, or why it is not kept."""
    place = os.path.join(root, path)
    try:
        with open_regular(place, follow=False) as file:
            state = os.fstat(file.fileno())
            if state.st_size > MAX_BYTES:
                return f"large: {size_in_words(state.st_size)}"
            return file.read(MAX_BYTES), state.st_mode
    except OSError as error:
        return error.strerror or str(error)


def size_in_words(size: float) -> str:
    """`40 GB`, `3.2 MB`, `512 bytes`."""
    if size < 1000:
        return f"{size:.0f} bytes"
    units = ["kB", "MB", "GB", "TB"]
    size /= 1000
    while size >= 999.5 and len(units) > 1:
        size, units = size / 1000, units[1:]
    return f"{size:.1f} {units[0]}" if size < 9.95 else f"{size:.0f} {units[0]}"
