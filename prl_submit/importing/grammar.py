"""Text -> a tree, by tree-sitter's grammar of bash (tree-sitter-bash)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tree_sitter import Node

#: What stands for a character of so many bytes in UTF-8: a letter or a digit, or neither.
_LETTERS = {2: "é", 3: "éa", 4: "éé"}
_OTHERS = {2: "§", 3: "§.", 4: "§§"}
#: `<your_path>`, which only looks like one word: a redirection from a file, and one to the next.
PLACEHOLDER = re.compile(r"(?<![<\d&$])<[^\W\d](?:[\w ./-]*\w)?>(?![\w>&(])")
#: A comment among continued lines, which expands to nothing.
_COMMENT = re.compile(r"(?<=\s)`[ \t]*#[^`\n]*`")


def parse(text: str) -> Node:
    """The tree of a script; its offsets are those of the text's bytes in UTF-8."""
    import tree_sitter  # 15 ms with the grammar, for this command alone
    import tree_sitter_bash

    # A new one for each script: used again after a broken one, tree-sitter-bash 0.25.1 has crashed.
    parser = tree_sitter.Parser(tree_sitter.Language(tree_sitter_bash.language()))
    return parser.parse(narrowed(simplified(text)).encode("utf-8")).root_node


def simplified(text: str) -> str:
    """The same, with stand-ins of as many bytes for what the grammar loses its way in."""
    text = PLACEHOLDER.sub(lambda found: "_" * len(found[0].encode("utf-8")), text)
    return _COMMENT.sub(lambda found: f"`:{' ' * (len(found[0].encode('utf-8')) - 3)}`", text)


def without_last_backslash(text: str) -> str:
    """The text as bash takes it: it drops a backslash that is the last character of a file."""
    slashes = len(text) - len(text.rstrip("\\"))
    return text[:-1] if slashes % 2 else text


def narrowed(text: str) -> str:
    """The same, with stand-ins of as many bytes for characters beyond U+00FF.

    The grammar's scanner asks C's isalpha() and isspace() about every character, and these look it
    up in a table of 384 entries: what lies behind it is anything, or ends the process.
    """
    return re.sub(r"[^\x00-\xff]", _stand_in, text)


def _stand_in(found: re.Match[str]) -> str:
    size = len(found[0].encode("utf-8"))
    return (_LETTERS if found[0].isalnum() else _OTHERS)[size]
