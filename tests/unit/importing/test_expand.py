"""Words of bash, expanded: what depends on nothing but the script."""

from __future__ import annotations

import pytest

from prl_submit.importing.bash.arithmetic import compute
from prl_submit.importing.bash.command_output import output_of
from prl_submit.importing.bash.expand import ansi, expand_fields, expand_value
from prl_submit.importing.bash.scope import (
    Default,
    Field,
    Gap,
    Given,
    Place,
    Scope,
    Unknown,
    UnknownError,
    Variable,
)
from tests.support.script_values import written

PLACE = Place(script="scripts/x.sh", cwd="/w", home="/home/me", real="/w/scripts/x.sh")


def make_scope(**values: object) -> Scope:
    scope = Scope(PLACE, lambda node: output_of(scope, node))
    for name, value in values.items():
        if isinstance(value, list):
            scope.set(name, Variable(value=[Field(item, 1) for item in value], line=1))
        else:
            scope.set(name, Variable(value=str(value), line=1))
    return scope


def words(text: str, scope: Scope | None = None) -> list[str]:
    found = expand_fields(written(text), scope or make_scope())
    return [word.text if isinstance(word, Field) else f"?{word.written}" for word in found]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("a'b c'\"d e\"", ["ab cd e"]),
        ("''", [""]),
        ('"$E"', [""]),
        ("$E", []),
        ("x$E", ["x"]),
        ("$X", ["a", "b"]),
        ('"$X"', ["a  b"]),
        ("\\<$X\\>", ["<a", "b>"]),
        ('"${A[@]}"', ["one two", "three"]),
        ("${A[@]}", ["one", "two", "three"]),
        ('"${A[*]}"', ["one two three"]),
        ('a"${A[@]}"z', ["aone two", "threez"]),
        ("${A[1]}", ["three"]),
        ("${#A[@]}", ["2"]),
        ("$A", ["one", "two"]),
        ('"$@"', []),
        ('x"$@"', ["x"]),
        ("a\\\nb", ["ab"]),
        ('"\\$X \\q \\""', ['$X \\q "']),
        ("'\\$X'", ["\\$X"]),
        ("~", ["/home/me"]),
        ("~/x", ["/home/me/x"]),
        ("a=~/x", ["a=/home/me/x"]),
        ("--a=~/x", ["--a=~/x"]),
        ("'~'/x", ["~/x"]),
        ("${U:-d e}", ["d", "e"]),
        ('"${U:-d e}"', ["d e"]),
        ("\"${U:-'d'}\"", ["'d'"]),
        ("${U:-'d e'}", ["d e"]),
        ("${E:-d}", ["d"]),
        ("${E-d}", []),
        ("${X:+set}", ["set"]),
        ("${P##*/}", ["name.tar.gz"]),
        ("${P#*/}", ["sub/name.tar.gz"]),
        ("${P%.*}", ["org/sub/name.tar"]),
        ("${P%%.*}", ["org/sub/name"]),
        ("${P//\\//-}", ["org-sub-name.tar.gz"]),
        ("${P/sub/s}", ["org/s/name.tar.gz"]),
        ("${P^}", ["Org/sub/name.tar.gz"]),
        ("${P:4:3}", ["sub"]),
        ("${#P}", ["19"]),
        ("$((N * (2 + 1) % 4))", ["3"]),
        ("$(( -7 / 2 ))", ["-3"]),
        ("$(expr 16 / $N)", ["3"]),
        ("$(dirname a/b/c)", ["a/b"]),
        ("$(basename a/b.txt .txt)", ["b"]),
        ("$(echo a   b)", ["a", "b"]),
        ('$(dirname "$0")', ["scripts"]),
        ('"$(cd "$(dirname "$0")/.." && pwd)"', ["/w"]),
        ("$(readlink -f $0)", ["/w/scripts/x.sh"]),
        ("${0%/*}", ["scripts"]),
        ("`basename a/b`", ["b"]),
        ("a#b", ["a#b"]),
        ("$", ["$"]),
        ('{"a":1}', ["{a:1}"]),
        ("雨'巷'", ["雨巷"]),
    ],
)
def test_words(text: str, wanted: list[str]) -> None:
    scope = make_scope(E="", X="a  b", A=["one two", "three"], P="org/sub/name.tar.gz", N=5)
    assert words(text, scope) == wanted


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("$U", "$U is not set in the script"),
        ("${U:?must}", "$U is not set in the script"),
        ("${U:+x}", "$U is not set in the script"),
        ("$1", "$1 is given when the script is started"),
        ("$?", "$? is known only when the script runs"),
        ("${USER:-me}", "$USER is known only"),
        ("$RANDOM", "$RANDOM is known only"),
        ("$SLURM_JOB_ID", "is set by Slurm"),
        ("$PWD", "the working directory is where one types"),
        ("$(pwd)", "the working directory is where one types"),
        ("$(date)", "the output of $(date) is known only when it runs"),
        ("$(a; b)", "the output of $(a; b)"),
        ("$(cat <x)", "the output of"),
        ("*.txt", "is a pattern"),
        ("a[0]", "is a pattern"),
        ("$STAR", "is a pattern"),
        ("{a,b}", "holds {a,b}"),
        ("x{1..3}", "holds {a,b}"),
        ("~root/x", "another user's home"),
        ("${!X}", "is not understood"),
        ("${X@Q}", "is not understood"),
        ("${X#[[:alpha:]]}", "has a pattern that is not understood"),
        ("${A[x]}", "is not understood"),
        ("${A[@]%x}", "changes a whole array"),
        ("$((U + 1))", "U in arithmetic is not known"),
        ("$((X + 1))", "X is no number: 'a b'"),
        ("$((2 ** 99))", "**99 in arithmetic"),
        ("$((1 << 64))", "<<64 in arithmetic"),
        ("$((N = 3))", "is more than whole numbers"),
        ("$((--N))", "in arithmetic"),
        ("$((99999999999999999999))", "is more than whole numbers"),
        ("$[1]", "has given up"),
        ("$'\\xff'", "not UTF-8"),
        ("$'\\cA'", "control character"),
        ("$'\\ud800'", "no character"),
    ],
)
def test_what_only_the_run_knows(text: str, why: str) -> None:
    scope = make_scope(X="a b", A=["one"], N=5, STAR="*")
    with pytest.raises(UnknownError) as caught:
        words(text, scope)
    assert why in caught.value.unknown.why


def test_an_unknown_variable_names_its_line() -> None:
    scope = make_scope()
    scope.set("X", Variable(value=Unknown("it is read"), line=7))
    with pytest.raises(UnknownError) as caught:
        words("a$X", scope)
    assert caught.value.unknown.why == "$X, line 7: it is read"


def test_an_unknown_item_is_one_word_of_its_array() -> None:
    scope = make_scope()
    items: list[Given] = [Field("--x", 2), Gap('"$Y"', 3, Unknown("why"))]
    scope.set("A", Variable(value=items, line=1))
    assert expand_fields(written('"${A[@]}"'), scope) == items
    for text in ("${A[1]}", '"${A[*]}"'):
        with pytest.raises(UnknownError):
            words(text, scope)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("${PRL_X:-8}", [("PRL_X", True)]),
        ("a${PRL_X:-8}", [("PRL_X", False)]),
        ("${PRL_X:-8}${PRL_Y:-9}", [("PRL_X", False), ("PRL_Y", False)]),
        ('"${PRL_X:-${PRL_Y:-9}}"', [("PRL_X", True), ("PRL_Y", True)]),
        ("${PRL_X-8}", [("PRL_X", True)]),
    ],
)
def test_defaults_are_remembered(text: str, wanted: list[tuple[str, bool]]) -> None:
    [field] = expand_fields(written(text), make_scope())
    assert isinstance(field, Field)
    assert [(default.name, default.whole) for default in field.defaults] == wanted
    assert {default.line for default in field.defaults} == {1}


def test_a_default_that_is_assigned() -> None:
    scope = make_scope()
    assert words("${X:=1 2}", scope) == ["1", "2"]
    assert words('"$X"', scope) == ["1 2"]
    assert scope.variables["X"].defaults == (Default("X", 1),)


def test_assignments_are_neither_split_nor_matched() -> None:
    scope = make_scope(X="a  b")
    assert expand_value(written("$X/*{a,b}"), scope) == ("a  b/*{a,b}", ())
    assert expand_value(written("a:~/b:~"), scope) == ("a:/home/me/b:/home/me", ())


def test_set_f_and_the_working_directory() -> None:
    scope = make_scope()
    scope.matches_files = False
    scope.enter("/srv")
    scope.enter("../data")
    assert words("*.txt$PWD$(pwd)", scope) == ["*.txt/data/data"]


def test_ansi_escapes() -> None:
    assert ansi(r"a\tb\n\x41\u4e2d\101\'\"\\\q\e") == "a\tb\nA中A'\"\\\\q\x1b"
    assert ansi(r"a\0b") == "a"


@pytest.mark.parametrize(
    ("text", "value"), [("1+2*3", 7), ("(1+2)*3", 9), ("7%-3", 1), ("-7%3", -1), ("+4", 4)]
)
def test_arithmetic(text: str, value: int) -> None:
    assert compute(text) == value
