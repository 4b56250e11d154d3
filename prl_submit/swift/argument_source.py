"""The arguments of `swift rlhf`, read from ms-swift's source; nothing of it is imported.

ms-swift makes its parser with transformers' HfArgumentParser from one dataclass, RLHFArguments, whose
bases lie in ms-swift and in transformers. Importing that takes 15 s; finding the classes and parsing
their fields by `ast` takes a fraction of a tenth. Only the text of the classes' own fields is parsed:
method bodies are most of these files and most of the time.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from msgspec import UNSET

from prl_submit.swift.annotation import Enumeration, describe
from prl_submit.swift.argument import Argument

#: Where RLHFArguments is: since 4.0, and before.
ENTRIES = ("swift.arguments.rlhf_args", "swift.llm.argument.rlhf_args")
ROOT = "RLHFArguments"
#: transformers' own front door is a lazy module of 8,000 lines; these are what ms-swift takes from it.
_TRANSFORMERS = {
    "TrainingArguments": "transformers.training_args",
    "Seq2SeqTrainingArguments": "transformers.training_args_seq2seq",
}

#: transformers training_args.py `trainer_log_levels`, the same from 4.33 to 5.19.
LOG_LEVELS = ("detail", "debug", "info", "warning", "error", "critical", "passive")

#: Dotted module name -> its source, and whether it is a package; None where there is none.
Find = Callable[[str], "tuple[str, bool] | None"]

#: The next statement at the left margin ends a class (a closing bracket or a comment does not).
_MARGIN = re.compile(r"\n[^\s#)\]}]")
_DATACLASS = re.compile(r"^@(?:dataclasses\.)?dataclass\b", re.MULTILINE)
_METHOD = re.compile(r"\n    (?:async def |def |@)")
_FIELD = re.compile(r"\n    \w+ *:")
#: No anchor: a literal at the front is what makes `re` fast. An example in a docstring does no harm.
_IMPORT = re.compile(r"from ([.\w]+) import (\([^)]*\)|[^\n(]+)")
_COMMENT = re.compile(r"#[^\n]*")
#: `self.columns = json_parse_to_dict(self.columns)`; with strict=False plain text is taken too.
_JSON = re.compile(r"parse_to_dict\(self\.(\w+)\)")


class SourceError(Exception):
    """The source is not laid out as that of any known ms-swift."""


class Module(NamedTuple):
    """A module's text, its package, and its imports: local name -> (module, name there)."""

    name: str
    text: str
    package: str
    imports: dict[str, tuple[str, str]]


class ClassPlace(NamedTuple):
    """A class, by the module that holds it."""

    module: Module
    name: str


def read_arguments(find: Find) -> dict[str, Argument]:
    """Every argument by name, in the order of `swift rlhf --help`. Raises SourceError."""
    reader = _ClassReader(find)
    root = next((place for entry in ENTRIES if (place := reader.resolve(entry, ROOT))), None)
    if root is None:
        raise SourceError(f"no class {ROOT} in {' or '.join(ENTRIES)}")
    fields: dict[str, tuple[ast.AnnAssign, Module] | None] = {}
    json_names: set[str] = set()
    for place in reversed(reader.order(root)):
        body = reader.class_body(place)
        if body is None:
            continue
        json_names |= set(_JSON.findall(place.module.text)) | _dict_fields(body)
        for field in _fields(body):
            name = field.target.id  # type: ignore[union-attr]
            fields[name] = None if _is_not_initialised(field) else (field, place.module)
    # Before 3.10 GRPOConfig, which is none of its bases, reads these.
    json_names |= {"vllm_limit_mm_per_prompt", "limit_mm_per_prompt"}
    json_names -= {"deepspeed", "teacher_deepspeed"}  # presets are plain words
    return {
        name: reader.argument(*field, name in json_names)
        for name, field in fields.items()
        if field is not None
    }


class _ClassReader:
    """Modules that were read, and the ways between their classes."""

    def __init__(self, find: Find) -> None:
        self._find = find
        self._modules: dict[str, Module | None] = {}
        self._bodies: dict[tuple[str, str], ast.ClassDef] = {}

    def module(self, name: str) -> Module | None:
        if name not in self._modules:
            found = self._find(name)
            self._modules[name] = None if found is None else _module(name, *found)
        return self._modules[name]

    def resolve(self, module_name: str, name: str, depth: int = 0) -> ClassPlace | None:
        """Follow imports to the module that defines a class."""
        if module_name == "transformers":
            module_name = _TRANSFORMERS.get(name, module_name)
        module = self.module(module_name)
        if module is None or depth > 10:
            return None
        if _class_start(module.text, name) >= 0:
            return ClassPlace(module, name)
        imports = module.imports
        if name not in imports and f" {name}" in module.text:
            imports = _imports(module.text, module.package)
        return self.resolve(*imports[name], depth + 1) if name in imports else None

    def order(self, place: ClassPlace) -> list[ClassPlace]:
        """Python's method resolution order, of the classes whose source is at hand."""
        bases = list(self._bases(place))
        rows = [row for row in [*map(self.order, bases), bases] if row]
        merged = [place]
        while rows:
            head = next(
                row[0] for row in rows if not any(_same(row[0], x) for r in rows for x in r[1:])
            )
            merged.append(head)
            rows = [kept for row in rows if (kept := row[1:] if _same(row[0], head) else row)]
        return merged

    def _bases(self, place: ClassPlace) -> Iterator[ClassPlace]:
        for base in self._class(place).bases:
            outer = base.value if isinstance(base, ast.Subscript) else base  # Generic[T]
            name = outer.id if isinstance(outer, ast.Name) else ""
            found = self.resolve(place.module.name, name) if name else None
            if found is not None:
                yield found
            elif not self._is_harmless(place.module, name):
                raise SourceError(f"no source of {ast.unparse(base)}, a base of {place.name}")

    def _is_harmless(self, module: Module, name: str) -> bool:
        """A base of Python's own, which declares no argument."""
        if name == "object":
            return True
        package = module.imports.get(name, ("",))[0].partition(".")[0]
        return package in ("abc", "typing", "typing_extensions", "enum", "collections", "builtins")

    def class_body(self, place: ClassPlace) -> list[ast.stmt] | None:
        """The statements of a dataclass; None for another class."""
        above = _decorators(place.module.text, place.name)
        is_dataclass = _DATACLASS.search(above) is not None
        return self._class(place).body if is_dataclass else None

    def _class(self, place: ClassPlace) -> ast.ClassDef:
        key = (place.module.name, place.name)
        if key not in self._bodies:
            self._bodies[key] = _parse_class(place.module.text, place.name)
        return self._bodies[key]

    def argument(self, field: ast.AnnAssign, module: Module, is_json: bool) -> Argument:
        """The argument that HfArgumentParser makes of a field."""

        def enumeration(name: str) -> Enumeration | None:
            return self._enumeration(module, name)

        argument = describe(field.annotation, enumeration)
        kind = "json" if is_json and argument.kind == "str" and not argument.many else argument.kind
        choices = argument.choices or _written_choices(field.value)
        return Argument(kind, argument.many, choices, self._default(field, module))

    def _enumeration(self, module: Module, name: str) -> Enumeration | None:
        place = self.resolve(module.name, name)
        if place is None:
            return None
        start = _class_start(place.module.text, name)
        if "Enum" not in place.module.text[start : place.module.text.find(":", start)]:
            return None
        node = self._class(place)
        return {
            target.id: statement.value.value
            for statement in node.body
            if isinstance(statement, ast.Assign) and isinstance(statement.value, ast.Constant)
            for target in statement.targets
            if isinstance(target, ast.Name)
        }

    def _default(self, field: ast.AnnAssign, module: Module) -> Any:
        value = _default_node(field.value)
        if isinstance(value, ast.Attribute) and isinstance(value.value, ast.Name):
            members = self._enumeration(module, value.value.id) or {}
            return members.get(value.attr, UNSET)
        try:
            return UNSET if value is None else ast.literal_eval(value)
        except ValueError:
            return UNSET


def _same(one: ClassPlace, other: ClassPlace) -> bool:
    return one.name == other.name and one.module.name == other.module.name


def _module(name: str, text: str, is_package: bool) -> Module:
    package = name if is_package else name.rpartition(".")[0]
    first_class = text.find(
        "\nclass "
    )  # what is imported below one is looked for where it is missed
    head = text[:first_class] if first_class >= 0 else text
    return Module(name, text, package, _imports(head, package))


def _imports(text: str, package: str) -> dict[str, tuple[str, str]]:
    imports = {}
    for source, names in _IMPORT.findall(text):
        target = _absolute(source, package)
        for item in _COMMENT.sub("", names).strip("()").replace("\\", "").split(","):
            original, _, alias = item.strip().partition(" as ")
            if original:
                imports[alias.strip() or original] = (target, original)
    return imports


def _absolute(source: str, package: str) -> str:
    dots = len(source) - len(source.lstrip("."))
    if not dots:
        return source
    parts = package.split(".")
    return ".".join([*parts[: len(parts) - dots + 1], *filter(None, [source[dots:]])])


def _class_start(text: str, name: str) -> int:
    """Where a class stands at the left margin; -1 where none does."""
    for ending in ("(", ":"):
        if text.startswith(f"class {name}{ending}"):
            return 0
        place = text.find(f"\nclass {name}{ending}")
        if place >= 0:
            return place + 1
    return -1


def _decorators(text: str, name: str) -> str:
    """The lines above a class, up to the statement before it; they may span several lines."""
    end = start = max(_class_start(text, name), 0)
    while start > 0:
        line = text.rfind("\n", 0, start - 1) + 1
        if text[line] not in "@ \t)]}#\n":
            break
        start = line
    return text[start:end]


def _parse_class(text: str, name: str) -> ast.ClassDef:
    """A class, its methods left out where that is sure to leave no field out."""
    start = _class_start(text, name)
    end = _MARGIN.search(text, start)
    whole = text[start : end.start() if end else len(text)]
    method = _METHOD.search(whole)
    tries = [whole]
    if method is not None and not _FIELD.search(whole, method.start()):
        tries.insert(0, whole[: method.start()] + "\n    pass\n")
    for source in tries:
        try:
            (node,) = ast.parse(source).body
        except (SyntaxError, ValueError):
            continue
        if isinstance(node, ast.ClassDef):
            return node
    for node in ast.parse(text).body:  # a margin within a string misled us
        if isinstance(node, ast.ClassDef) and node.name == name:
            return node
    raise SourceError(f"class {name} cannot be parsed")


def _fields(body: list[ast.stmt]) -> Iterator[ast.AnnAssign]:
    for statement in body:
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            outer = getattr(statement.annotation, "value", statement.annotation)
            if getattr(outer, "id", getattr(outer, "attr", "")) != "ClassVar":
                yield statement


def _is_not_initialised(field: ast.AnnAssign) -> bool:
    return any(
        key.arg == "init" and isinstance(key.value, ast.Constant) and key.value.value is False
        for key in _field_call(field.value)
    )


def _field_call(value: ast.expr | None) -> list[ast.keyword]:
    if (
        isinstance(value, ast.Call)
        and isinstance(value.func, ast.Name)
        and value.func.id == "field"
    ):
        return value.keywords
    return []


def _written_choices(value: ast.expr | None) -> tuple[str, ...]:
    """`field(metadata={"choices": [...]})`."""
    for key in _field_call(value):
        if key.arg == "metadata" and isinstance(key.value, ast.Dict):
            for name, choices in zip(key.value.keys, key.value.values, strict=True):
                if isinstance(name, ast.Constant) and name.value == "choices":
                    if isinstance(choices, (ast.List, ast.Tuple)):
                        return tuple(map(str, ast.literal_eval(choices)))
                    return LOG_LEVELS if "log_levels" in ast.unparse(choices) else ()
    return ()


def _default_node(value: ast.expr | None) -> ast.expr | None:
    for key in _field_call(value):
        if key.arg == "default":
            return key.value
        if key.arg == "default_factory":
            factory = key.value
            if isinstance(factory, ast.Lambda):
                return factory.body
            names = {"list": ast.List([], ast.Load()), "dict": ast.Dict([], [])}
            return names.get(factory.id) if isinstance(factory, ast.Name) else None
    return value


def _dict_fields(body: list[ast.stmt]) -> set[str]:
    """TrainingArguments._VALID_DICT_FIELDS: text that begins with `{` is JSON there."""
    for statement in body:
        if isinstance(statement, (ast.Assign, ast.AnnAssign)) and statement.value is not None:
            targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
            names = [target.id for target in targets if isinstance(target, ast.Name)]
            if "_VALID_DICT_FIELDS" in names:
                return set(ast.literal_eval(statement.value))
    return set()
