"""Reading the arguments of `swift rlhf` from ms-swift's source, without importing it.

ms-swift makes its parser with transformers' HfArgumentParser from one dataclass, RLHFArguments. The bases
of this class are in ms-swift and in transformers. Importing them takes 15 s. Finding the classes in the
source and parsing their fields with `ast` takes less than a tenth of a second, because only the text of
the fields is parsed: most of these files, and most of the time to parse them, is bodies of methods.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from msgspec import UNSET

from prl_submit.swift.annotation import Enumeration, describe
from prl_submit.swift.argument import Argument

#: The module with RLHFArguments: since 4.0, and before.
ENTRIES = ("swift.arguments.rlhf_args", "swift.llm.argument.rlhf_args")
ROOT = "RLHFArguments"
#: Where transformers defines the classes that ms-swift imports from `transformers` itself. (Its
#: `__init__.py` is a lazy module of 8,000 lines.)
_TRANSFORMERS = {
    "TrainingArguments": "transformers.training_args",
    "Seq2SeqTrainingArguments": "transformers.training_args_seq2seq",
}

#: transformers training_args.py `trainer_log_levels`, the same from 4.33 to 5.19.
LOG_LEVELS = ("detail", "debug", "info", "warning", "error", "critical", "passive")

#: A function from a dotted module name to the module's source and whether it is a package. It returns None
#: if there is no such module.
Find = Callable[[str], "tuple[str, bool] | None"]

#: The next statement at the top level ends a class. A closing bracket or a comment does not.
_MARGIN = re.compile(r"\n[^\s#)\]}]")
_DATACLASS = re.compile(r"^@(?:dataclasses\.)?dataclass\b", re.MULTILINE)
_METHOD = re.compile(r"\n    (?:async def |def |@)")
_FIELD = re.compile(r"\n    \w+ *:")
#: The pattern has no anchor, because `re` is fast for a pattern that begins with fixed text. It also finds
#: an import in a docstring's example, which does no harm.
_IMPORT = re.compile(r"from ([.\w]+) import (\([^)]*\)|[^\n(]+)")
_COMMENT = re.compile(r"#[^\n]*")
#: ms-swift reads these arguments as JSON: `self.columns = json_parse_to_dict(self.columns)`. A call with
#: strict=False accepts plain text too, and is not found.
_JSON = re.compile(r"parse_to_dict\(self\.(\w+)\)")


class SourceError(Exception):
    """The source is not laid out like that of any known release of ms-swift."""


class Module(NamedTuple):
    """A module's text, its package, and its imports: local name -> (module, name there)."""

    name: str
    text: str
    package: str
    imports: dict[str, tuple[str, str]]


class ClassPlace(NamedTuple):
    """A class: its module and its name."""

    module: Module
    name: str


def read_arguments(find: Find) -> dict[str, Argument]:
    """Every argument by name, in the order of `swift rlhf --help`.

    Raises SourceError if a class is not found. Other exceptions are possible for an unknown source.
    """
    reader = _ClassReader(find)
    root = reader.resolve(ENTRIES[0], ROOT) or reader.resolve(ENTRIES[1], ROOT)
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
    # Before 3.10 GRPOConfig reads these two as JSON, and GRPOConfig is not a base of RLHFArguments.
    json_names |= {"vllm_limit_mm_per_prompt", "limit_mm_per_prompt"}
    json_names -= {"deepspeed", "teacher_deepspeed"}  # they also take the plain names of presets
    return {
        name: reader.argument(*field, name in json_names)
        for name, field in fields.items()
        if field is not None
    }


class _ClassReader:
    """Finds classes and their bases through the imports of modules, and keeps what it has read."""

    def __init__(self, find: Find) -> None:
        self._find = find
        self._modules: dict[str, Module | None] = {}
        self._bodies: dict[tuple[str, str], ast.ClassDef] = {}

    def module(self, name: str) -> Module | None:
        """A module by its dotted name; None if there is no such module."""
        if name not in self._modules:
            found = self._find(name)
            self._modules[name] = None if found is None else _module(name, *found)
        return self._modules[name]

    def resolve(self, module_name: str, name: str, depth: int = 0) -> ClassPlace | None:
        """The class that `name` means in a module, found by following imports. None if it is not found."""
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
        """The class and its bases in Python's method resolution order (the C3 algorithm)."""
        bases = list(self._bases(place))
        rows = [row for row in [*map(self.order, bases), bases] if row]
        merged = [place]
        while rows:
            head = _next_base(rows)
            merged.append(head)
            shorter = [row[1:] if _same(row[0], head) else row for row in rows]
            rows = [row for row in shorter if row]
        return merged

    def _bases(self, place: ClassPlace) -> Iterator[ClassPlace]:
        """The direct bases of a class. Raises SourceError for one that is not found."""
        for base in self._class(place).bases:
            outer = base.value if isinstance(base, ast.Subscript) else base  # Generic[T]
            name = outer.id if isinstance(outer, ast.Name) else ""
            found = self.resolve(place.module.name, name) if name else None
            if found is not None:
                yield found
            elif not self._is_harmless(place.module, name):
                raise SourceError(f"no source of {ast.unparse(base)}, a base of {place.name}")

    def _is_harmless(self, module: Module, name: str) -> bool:
        """True for a base of Python's own, because such a class declares no argument."""
        if name == "object":
            return True
        package = module.imports.get(name, ("",))[0].partition(".")[0]
        return package in ("abc", "typing", "typing_extensions", "enum", "collections", "builtins")

    def class_body(self, place: ClassPlace) -> list[ast.stmt] | None:
        """The statements of a dataclass; None for a class that is not a dataclass."""
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
        """The members of an Enum by name; None if `name` is no Enum."""
        place = self.resolve(module.name, name)
        if place is None:
            return None
        start = _class_start(place.module.text, name)
        if "Enum" not in place.module.text[start : place.module.text.find(":", start)]:
            return None
        members: Enumeration = {}
        for statement in self._class(place).body:
            if isinstance(statement, ast.Assign) and isinstance(statement.value, ast.Constant):
                for target in statement.targets:
                    if isinstance(target, ast.Name):
                        members[target.id] = statement.value.value
        return members

    def _default(self, field: ast.AnnAssign, module: Module) -> Any:
        """A field's default; UNSET if the source does not write it as a constant."""
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


def _next_base(rows: list[list[ClassPlace]]) -> ClassPlace:
    """The first head of a row that is in no other place of any row. One step of the C3 algorithm."""
    for row in rows:
        if not any(_same(row[0], later) for other in rows for later in other[1:]):
            return row[0]
    raise SourceError(f"the bases of {rows[0][0].name} have no order")


def _module(name: str, text: str, is_package: bool) -> Module:
    """A module with the imports above its first class. `resolve` reads later ones if a name is missing."""
    package = name if is_package else name.rpartition(".")[0]
    first_class = text.find("\nclass ")
    head = text[:first_class] if first_class >= 0 else text
    return Module(name, text, package, _imports(head, package))


def _imports(text: str, package: str) -> dict[str, tuple[str, str]]:
    """Local name -> (module, name there) of each `from MODULE import NAME` in a text."""
    imports = {}
    for source, names in _IMPORT.findall(text):
        target = _absolute(source, package)
        for item in _COMMENT.sub("", names).strip("()").replace("\\", "").split(","):
            original, _, alias = item.strip().partition(" as ")
            if original:
                imports[alias.strip() or original] = (target, original)
    return imports


def _absolute(source: str, package: str) -> str:
    """The dotted name of a module that is imported by `from SOURCE`, which may begin with dots."""
    dots = len(source) - len(source.lstrip("."))
    if not dots:
        return source
    parts = package.split(".")
    return ".".join([*parts[: len(parts) - dots + 1], *filter(None, [source[dots:]])])


def _class_start(text: str, name: str) -> int:
    """The place in the text where a class at the top level begins; -1 if there is no such class."""
    for ending in ("(", ":"):
        if text.startswith(f"class {name}{ending}"):
            return 0
        place = text.find(f"\nclass {name}{ending}")
        if place >= 0:
            return place + 1
    return -1


def _decorators(text: str, name: str) -> str:
    """The text between a class and the statement before the class, which holds its decorators."""
    end = start = max(_class_start(text, name), 0)
    while start > 0:
        line = text.rfind("\n", 0, start - 1) + 1
        if text[line] not in "@ \t)]}#\n":
            break
        start = line
    return text[start:end]


def _parse_class(text: str, name: str) -> ast.ClassDef:
    """A class's syntax tree, without its methods if no field comes after the first method."""
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
    for node in ast.parse(text).body:  # text inside a string looked like the next statement
        if isinstance(node, ast.ClassDef) and node.name == name:
            return node
    raise SourceError(f"class {name} cannot be parsed")


def _fields(body: list[ast.stmt]) -> Iterator[ast.AnnAssign]:
    """The annotated names of a class, except ClassVar."""
    for statement in body:
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            outer = getattr(statement.annotation, "value", statement.annotation)
            if getattr(outer, "id", getattr(outer, "attr", "")) != "ClassVar":
                yield statement


def _is_not_initialised(field: ast.AnnAssign) -> bool:
    """True for `field(init=False)`, which is no argument."""
    for key in _field_call(field.value):
        if key.arg == "init" and isinstance(key.value, ast.Constant):
            return key.value.value is False
    return False


def _field_call(value: ast.expr | None) -> list[ast.keyword]:
    """The keywords of a call of `field(...)`; none for any other expression."""
    if not isinstance(value, ast.Call) or not isinstance(value.func, ast.Name):
        return []
    return value.keywords if value.func.id == "field" else []


def _written_choices(value: ast.expr | None) -> tuple[str, ...]:
    """The choices in `field(metadata={"choices": [...]})`; none if the field has no such list."""
    for key in _field_call(value):
        if key.arg == "metadata" and isinstance(key.value, ast.Dict):
            for name, choices in zip(key.value.keys, key.value.values, strict=True):
                if isinstance(name, ast.Constant) and name.value == "choices":
                    return _choices(choices)
    return ()


def _choices(node: ast.expr) -> tuple[str, ...]:
    """The texts of a written list; transformers' log levels if the expression names them."""
    if isinstance(node, (ast.List, ast.Tuple)):
        return tuple(map(str, ast.literal_eval(node)))
    return LOG_LEVELS if "log_levels" in ast.unparse(node) else ()


def _default_node(value: ast.expr | None) -> ast.expr | None:
    """The expression of a field's default: written plainly, or in a call of `field(...)`."""
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
    """The names in TrainingArguments._VALID_DICT_FIELDS: transformers reads their text as JSON.

    (transformers does so only for text that begins with `{`.)
    """
    for statement in body:
        if isinstance(statement, (ast.Assign, ast.AnnAssign)) and statement.value is not None:
            targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
            names = [target.id for target in targets if isinstance(target, ast.Name)]
            if "_VALID_DICT_FIELDS" in names:
                return set(ast.literal_eval(statement.value))
    return set()
