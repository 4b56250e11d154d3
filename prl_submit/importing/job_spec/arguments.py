"""The words behind `swift rlhf` -> arguments by name, as ms-swift's argparse takes them apart."""

from __future__ import annotations

import re

from msgspec import Struct

from prl_submit.importing.bash.scope import Field, Gap, Given, known_texts
from prl_submit.importing.findings import Findings
from prl_submit.planning.infer_workers import takes_infer_workers
from prl_submit.swift.renames import RENAMED, REPLACED, name_in
from prl_submit.swift.table import Table
from prl_submit.swift.unknown_names import what_is_wrong
from prl_submit.swift.values import OWNED

_NEGATIVE = re.compile(r"-\d+|-\d*\.\d+", re.ASCII)  # argparse, `_negative_number_matcher`
_HELP = "see `swift rlhf --help`"


class Passed(Struct, kw_only=True):
    """One argument of the script, as the ms-swift that will run calls it, with its words."""

    name: str
    line: int
    words: list[Given]
    #: From `--name=value`.
    is_joined: bool = False


def read_arguments(given: list[Given], table: Table, findings: Findings) -> dict[str, Passed]:
    """Arguments by name, in the script's order; of one that is given twice, the last."""
    found: dict[str, Passed] = {}
    for passed in _grouped(given, table, findings):
        passed.name = _name_here(passed, table, findings)
        if _is_gone_and_off(passed, table):
            message = f"--{passed.name} false is left out: ms-swift no longer has it, and it is off"
            findings.note(passed.line, message)
            continue
        if passed.name in found:
            message = f"--{passed.name} is given on line {found[passed.name].line} too"
            findings.note(passed.line, message, "the last one counts")
            del found[passed.name]
        if _is_right(passed, table, findings):
            found[passed.name] = passed
    return found


def _grouped(given: list[Given], table: Table, findings: Findings) -> list[Passed]:
    groups: list[Passed] = []
    for word in given:
        text = word.shown
        if not _is_option(word, text, table):
            _add(word, text, groups, findings)
            continue
        name, sign, _ = text.partition("=")
        if name[:2] != "--" or len(name) < 3:
            findings.error(word.line, f"{name} is no argument of ms-swift", _HELP)
            name = f"--{name.lstrip('-')}"
        words: list[Given] = [word.value] if sign else []
        groups.append(Passed(name=name[2:], line=word.line, words=words, is_joined=bool(sign)))
    return groups


def _add(word: Given, text: str, groups: list[Passed], findings: Findings) -> None:
    if groups and not groups[-1].is_joined:
        groups[-1].words.append(word)
    elif isinstance(word, Gap):
        findings.unknown(word.line, word.written[:60], word.unknown)
    elif not groups and text.endswith((".yaml", ".yml", ".json")):
        message = f"{text} holds arguments that are not in the script"
        findings.error(word.line, message, "write them out as --name value")
    else:
        message = f"{text[:60]!r} belongs to no argument"
        findings.error(
            word.line, message, "ms-swift would refuse it; quotes or a `--name` are missing"
        )


def _is_option(word: Given, text: str, table: Table) -> bool:
    """True if a word is an option: it begins with `-`, is no number and has no blank.

    That is what argparse decides in `_parse_optional`.
    """
    if text[:1] != "-" or text == "-":
        return False
    name, sign, _ = text.partition("=")
    if isinstance(word, Gap):
        return bool(sign) and name[:2] == "--"
    if name[:2] == "--" and _known(name[2:], table):
        return True
    return not _NEGATIVE.fullmatch(text) and " " not in text


def _known(name: str, table: Table) -> bool:
    return name in table or name.replace("-", "_") in table or name in RENAMED


def _name_here(passed: Passed, table: Table, findings: Findings) -> str:  # noqa: C901  # one case for each earlier spelling
    """The name that an argument has in the ms-swift that will run.

    The script may have an earlier name, an abbreviation, dashes, or `no_` before it.
    """
    name, line = passed.name, passed.line
    if name in table or name in OWNED:
        return name
    plain = name.replace("-", "_")
    here = name_in(plain, table) or plain
    if here not in table and plain.startswith("no_") and _is_bool(plain[3:], table):
        here = plain[3:]  # transformers' hf_argparser makes these
        passed.words = [*passed.words, Field("false", line)]
    if here not in table and here not in REPLACED and here not in OWNED:
        whole = [other for other in table if other.startswith(here)]
        here = whole[0] if len(whole) == 1 else here  # argparse, allow_abbrev
    if here in table and here == RENAMED.get(plain):
        findings.note(line, f"--{name} is {here} today", _hint_at_versions(table))
    elif here in table and name_in(plain, table) == here != plain:
        findings.note(line, f"--{name} is {here} in ms-swift {table.version}")
    elif here != name and (here in table or here in OWNED):
        findings.note(line, f"--{name} is written {here}")
    elif here not in table and not (
        _is_translated(here, passed, table) or _is_gone_and_off(passed, table)
    ):
        message, hint = what_is_wrong(here, table)
        findings.note(line, f"--{name}: {message}", hint)
    return here


def _hint_at_versions(table: Table) -> str | None:
    if not table.is_assumed:
        return None
    return f"{table.version} is taken, the newest; --swift-version says which one will run"


def _is_translated(here: str, passed: Passed, table: Table) -> bool:
    """Whether prl-submit passes another argument instead: vllm_mode colocate and num_infer_workers."""
    if here == "vllm_mode" and takes_infer_workers(table):
        return known_texts(passed.words) == ["colocate"]
    return here == "num_infer_workers"


def _is_gone_and_off(passed: Passed, table: Table) -> bool:
    """True if an argument is a switch that ms-swift no longer has, and the script has it off."""
    words = [text.lower() for text in known_texts(passed.words)]
    return passed.name in REPLACED and passed.name not in table and words == ["false"]


def _is_bool(name: str, table: Table) -> bool:
    return name in table and table[name].kind == "bool"


def _is_right(passed: Passed, table: Table, findings: Findings) -> bool:
    """True if argparse would take so many words; report it where it would not."""
    argument = table.get(passed.name)
    count = len(passed.words)
    if argument is not None and argument.kind == "bool" and not argument.many and count == 0:
        passed.words = [Field("true", passed.line)]
    elif count == 0:
        message = f"--{passed.name} has no value here"
        findings.error(passed.line, message, "write one, or take it out")
        return False
    elif argument is not None and not argument.many and count > 1:
        gaps = [(at, word) for at, word in enumerate(passed.words) if isinstance(word, Gap)]
        for at, gap in gaps:  # those behind the first may hold arguments of their own, or nothing
            what = gap.written[:60] if at else f"--{passed.name}"
            findings.unknown(gap.line, what, gap.unknown)
        if gaps:
            return False
        words = " ".join(word.shown for word in passed.words)
        message = f"--{passed.name} takes one value, found {count}: {words[:60]}"
        findings.error(passed.line, message, "quotes are missing")
        return False
    return True


def value_of(passed: Passed, findings: Findings) -> list[Field] | None:
    """The words of an argument where all are known; report those that are not."""
    gaps = [word for word in passed.words if isinstance(word, Gap)]
    for gap in gaps:
        findings.unknown(gap.line, f"--{passed.name}", gap.unknown)
    return None if gaps else [word for word in passed.words if isinstance(word, Field)]
