"""The YAML reader: values mean what they look like, and no content of a file can crash the reader."""

from __future__ import annotations

import pytest

from prl_submit.errors import Problem, SpecError
from prl_submit.spec.nodes import Node, Origin
from prl_submit.spec.typed import plain
from prl_submit.spec.yaml import MAX_BYTES, MAX_DEPTH, MAX_NODES, parse_document, parse_value


def parse(text: str | bytes) -> Node:
    """The tree of a document named f.yaml."""
    data = text if isinstance(text, bytes) else text.encode("utf-8")
    return parse_document(data, "f.yaml", "spec")


def values(text: str | bytes) -> object:
    """The plain data of a document."""
    return plain(parse(text))


def fault(text: str | bytes) -> Problem:
    """The problem of a document that cannot be read."""
    with pytest.raises(SpecError) as caught:
        parse(text)
    (problem,) = caught.value.problems
    assert problem.file == "f.yaml"
    assert problem.severity == "error"
    return problem


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1e-6", 1e-6),
        ("1.5", 1.5),
        (".5", 0.5),
        ("-3", -3),
        ("true", True),
        ("False", False),
        ("no", "no"),
        ("yes", "yes"),
        ("on", "on"),
        ("off", "off"),
        ("y", "y"),
        ("010", "010"),
        ("0o10", "0o10"),
        ("0x10", "0x10"),
        ("1_000", "1_000"),
        ("12:00:00", "12:00:00"),
        ("1:30", "1:30"),
        ("2026-11-22", "2026-11-22"),
        ("=", "="),
        ("~", None),
        ("null", None),
        ("", None),
        ('"1"', "1"),
        ("'true'", "true"),
        ('"null"', "null"),
        ('""', ""),
        ("!!str 1", "1"),
        ("! 1", "1"),
        ("|\n  a\n  b", "a\nb\n"),
        (">-\n  a\n  b", "a b"),
        ("中文 值", "中文 值"),
        ('"\\u4e2d\\u2028\\x85"', "中\u2028\x85"),
        ("Qwen/Qwen2.5-7B-Instruct", "Qwen/Qwen2.5-7B-Instruct"),
        ("[1, no, '1']", [1, "no", "1"]),
        ("{a: 1}", {"a": 1}),
    ],
)
def test_a_value_means_what_it_looks_like(text: str, expected: object) -> None:
    found = values(f"k: {text}\n")
    assert found == {"k": expected}
    assert isinstance(found, dict)
    assert type(found["k"]) is type(expected)


@pytest.mark.parametrize("key", ["1", "1.5", "true", "~", "no", "中文", "a b", ""])
def test_keys_are_words_whatever_they_look_like(key: str) -> None:
    assert values(f'"{key}": x') == {key: "x"}
    if key:
        assert values(f"{key}: x") == {key: "x"}


def test_each_value_knows_its_line() -> None:
    tree = parse("# 中文\na: 1\n\nb:\n  c: 2\n  d:\n    - 3\n    - 4\ne: |\n  x\n  y\nf:\n  1\n")
    assert isinstance(tree.value, dict)
    b = tree.value["b"]
    assert isinstance(b.value, dict)
    items = b.value["d"].value
    assert isinstance(items, list)
    lines = {key: node.origin.line for key, node in (tree.value | b.value).items()}
    assert lines == {"a": 2, "b": 4, "c": 5, "d": 6, "e": 9, "f": 12}
    assert [item.origin.line for item in items] == [7, 8]
    assert tree.origin == Origin("spec", "f.yaml", 2)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_line_ends_of_every_kind(end: str) -> None:
    text = end.join(["a: 1", "b: x", "b: 2", ""])
    assert values(text.replace(f"{end}b: 2", "")) == {"a": 1, "b": "x"}
    assert fault(text).line == 3


def test_a_byte_order_mark_is_not_part_of_the_first_key() -> None:
    assert values(b"\xef\xbb\xbfname: x\n") == {"name": "x"}


@pytest.mark.parametrize(
    ("text", "line", "message", "hint"),
    [
        ("a: 1\nb: 2\na: 3", 3, "duplicate key 'a', first on line 1", "keep one"),
        ("a:\n  b: 1\n  b: 1", 3, "duplicate key 'b', first on line 2", "keep one"),
        ("a: {b: 1, 'b': 2}", 1, "duplicate key 'b'", "keep one"),
        ("m: &m {a: 1}\nx:\n  <<: *m\n  <<: *m", 4, "duplicate key '<<', first on line 3", "keep"),
        ("a: 1\n\tb: 2", 2, "is not YAML", "indent with spaces, not tabs"),
        ("a:\n\t- b", 2, "is not YAML", "indent with spaces, not tabs"),
        (b"a: 1\nb: \xff\n", 2, "is not UTF-8: byte 0xff", "save the file as UTF-8"),
        (b"\xff\xfea\0", None, "is not text: it holds NUL bytes", "UTF-8"),
        (b"\x7fELF\x02\0\0", None, "is not text", "UTF-8"),
        ("a: 1\nb: \x07", 2, "control character \\x07", 'or write "\\x07" in double quotes'),
        ("a: '\x1b[31m'", 1, "control character \\x1b", "remove it"),
        ("a: 1\nb: '中\u2028文'", 2, "line separator \\u2028", 'write "\\u2028" in double'),
        ("a: 1\r\nb: x\x85", 2, "line separator \\x85", "remove it"),
        (b"a: 1\rb: \xff", 2, "is not UTF-8", "save"),
        ("", None, "is empty", "prl-submit init"),
        ("# only\n# comments\n", None, "is empty", "prl-submit init"),
        ("---\n", None, "is empty", "prl-submit init"),
        ("a: 1\n---\nb: 2", 3, "more than one document", None),
        ("a: 1\n---", 2, "more than one document", None),
        ("- a", 1, "is a mapping, found a list", "key: value"),
        ("\nword", 2, "is a mapping, found the text 'word'", "key: value"),
        ("? [a]\n: b", 1, "a key must be a word, found a list", None),
        ("a: 1\n? {b: 1}\n: b", 2, "a key must be a word, found a mapping", None),
        ("a: &x b\n*x : c", 2, "a key must be a word, found an alias", None),
        ("a: 1\nb: *gone", 2, "alias *gone has no anchor", "quotes"),
        ("a: &x [*x]", 1, "alias *x has no anchor", "quotes"),
        ("a: &x\n  b: *x", 2, "alias *x has no anchor", "quotes"),
        ("a: 1\nb: !!python/object:os.system x", 2, "only plain data is read", "remove the tag"),
        ("a: !!python/object/apply:os.system [x]", 1, "only plain data", "remove the tag"),
        ("a: !!int 3", 1, "tag 'tag:yaml.org,2002:int' is not allowed", "remove the tag"),
        ("a: !custom 3", 1, "tag '!custom' is not allowed", "remove the tag"),
        ("!!binary a: b", 1, "tag", "remove the tag"),
        ('a: 1\nb: "\\ud800"', 2, "", None),
        ('a: 1\n"\\0": b', 2, "NUL", None),
        ('a: "\\0"', 1, "NUL", None),
        ("a:\n  - [1,\n2", 3, "(begun on line 2)", None),
        ("a: [1\n", 1, "expected ',' or ']'", "close the bracket"),
        ("a: 1\nb: c: d", 2, "mapping values are not allowed", "put quotes around"),
        ("a: 1\nb: @x", 2, "cannot start any token", "put quotes around"),
        ('a: 1\nb: "x', 2, "end of stream", None),
        ("a: 1\n<<: 3", 2, "`<<` takes a mapping", None),
        ("a: 1\n<<: [{b: 1}, 3]", 2, "`<<` takes a mapping", None),
    ],
)
def test_a_fault_says_where_and_what_to_do(
    text: str | bytes, line: int | None, message: str, hint: str | None
) -> None:
    problem = fault(text)
    assert problem.line == line
    assert message in problem.message
    if hint is not None:
        assert hint in (problem.hint or "")


def test_merge_key_fills_what_is_missing() -> None:
    text = "base: &b {x: 1, y: 1}\na:\n  <<: *b\n  y: 2\nc:\n  z: 3\n  <<: [{x: 9}, *b]\n"
    assert values(text) == {
        "base": {"x": 1, "y": 1},
        "a": {"x": 1, "y": 2},
        "c": {"x": 9, "y": 1, "z": 3},
    }


def test_a_quoted_merge_key_is_a_word() -> None:
    assert values('"<<": 1') == {"<<": 1}


def test_an_anchor_is_a_value_written_twice() -> None:
    assert values("a: &x [1, 2]\nb: *x\nc: &x 3\nd: *x") == {
        "a": [1, 2],
        "b": [1, 2],
        "c": 3,
        "d": 3,
    }


def test_aliases_that_expand_to_too_many_values() -> None:
    """Nine levels of nine aliases are refused at the line where the number of values passes the limit."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    for n in range(1, 10):
        lines.append(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]")
    problem = fault("\n".join(lines))
    assert problem.line == 5
    assert f"more than {MAX_NODES:,} values" in problem.message


def test_many_values_without_aliases_are_bounded_too() -> None:
    assert f"{MAX_NODES:,}" in fault(f"a: [{'1,' * (MAX_NODES + 1)}]").message


def test_size_is_bounded() -> None:
    start = b"a: 1\n"
    assert values(start + b"#" * (MAX_BYTES - len(start))) == {"a": 1}
    problem = fault(start + b"#" * (MAX_BYTES - len(start) + 1))
    assert "larger than 1,000,000 bytes" in problem.message


@pytest.mark.parametrize("opening", ["[", "{a: ", "- ", "? "])
def test_deep_nesting_is_a_problem_and_not_a_crash(opening: str) -> None:
    problem = fault("a:\n  " + opening * 100_000)
    assert problem.line == 2
    assert "nested deeper" in problem.message or "a key must be a word" in problem.message


def test_depth_just_within_the_bound() -> None:
    assert values("a: " + "[" * MAX_DEPTH + "]" * MAX_DEPTH)
    assert "nested deeper" in fault("a: " + "[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1)).message


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1e-6", 1e-6),
        ("no", "no"),
        ("", ""),
        ("null", None),
        ("a: b", "a: b"),
        ("*x", "*x"),
        ("# x", "# x"),
        ("[a, 1]", ["a", 1]),
        ("{a: [1]}", {"a": [1]}),
        ('"1"', "1"),
        ("'it''s'", "it's"),
    ],
)
def test_a_value_of_the_command_line(text: str, expected: object) -> None:
    """Only text that begins like a list, a mapping or a quoted text is read as YAML."""
    node = parse_value(text, Origin("flag", label="--set"))
    assert plain(node) == expected
    assert node.origin == Origin("flag", label="--set")


@pytest.mark.parametrize("text", ["[a", "{a: 1", '"a" b', "[1]\n---\nb", "\udcff", "['\udcff']"])
def test_a_bad_value_of_the_command_line(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not YAML|more than one|is not UTF-8"):
        parse_value(text, Origin("flag", label="--set"))


def test_values_inside_a_flag_have_the_origin_of_the_flag() -> None:
    node = parse_value("[[1]]", Origin("flag", label="--set"))
    assert isinstance(node.value, list)
    assert node.value[0].origin.label == "--set"
