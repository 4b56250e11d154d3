"""Reading arguments from source code, tested with small sources that are laid out like ms-swift."""

from __future__ import annotations

import pytest
from msgspec import UNSET

from prl_submit.swift.argument import Argument
from prl_submit.swift.argument_source import LOG_LEVELS, SourceError, read_arguments

HEAD = "from dataclasses import dataclass, field\nfrom typing import *\n"


def read(root: str, **modules: str) -> dict[str, Argument]:
    """The arguments of an ms-swift whose rlhf_args is `root`; `a__b="…"` is module a.b."""
    sources = {name.replace("__", "."): text for name, text in modules.items()}
    sources.setdefault("swift.arguments.rlhf_args", HEAD + root)
    packages = {".".join(name.split(".")[:-1]) for name in sources}

    def find(module: str) -> tuple[str, bool] | None:
        if module not in sources:
            return None
        return sources[module], module in packages

    return read_arguments(find)


def one(field: str) -> Argument:
    """The argument of a class with one field."""
    (argument,) = read(f"@dataclass\nclass RLHFArguments:\n    {field}\n").values()
    return argument


@pytest.mark.parametrize(
    ("field", "argument"),
    [
        ("x: int = 3", Argument("int", default=3)),
        ("x: float = 1e-6", Argument("float", default=1e-6)),
        ("x: bool = True", Argument("bool", default=True)),
        ("x: str = '中'", Argument("str", default="中")),
        ("x: Optional[int] = None", Argument("int", default=None)),
        ("x: int | None = None", Argument("int", default=None)),
        ("x: 'Optional[int]' = None", Argument("int", default=None)),
        ("x: typing.Optional[bool] = None", Argument("bool", default=None)),
        ("x: bool | None = None", Argument("bool", default=None)),
        ("x: Union[str, int] = 1", Argument("int", default=1)),
        ("x: Union[int, str] = 1", Argument("int", default=1)),
        ("x: bool | str = False", Argument("bool", default=False)),
        ("x: Optional[Union[dict, str]] = None", Argument("str", default=None)),
        ("x: Optional[Union[str, dict]] = None", Argument("str", default=None)),
        ("x: Union[str, dict] = ''", Argument("none", default="")),
        ("x: dict[str, bool] | None = None", Argument("none", default=None)),
        ("x: Union[bool, str, None] = None", Argument("none", default=None)),
        ("x: List[str] = field(default_factory=list)", Argument("str", True, default=[])),
        ("x: Optional[List[float]] = None", Argument("float", True, default=None)),
        ("x: list[int] = field(default_factory=lambda: [1])", Argument("int", True, default=[1])),
        ("x: Literal['a', 'b'] = 'a'", Argument("str", False, ("a", "b"), "a")),
        ("x: Optional[Literal[1, 'b']] = None", Argument("str", False, ("1", "b"), None)),
        ("x: Literal['a', None] = None", Argument("str", False, ("a", "None"), None)),
        ("x: List[Literal['a']] = None", Argument("str", True, ("a",), None)),
        ("x: int = field(default=4, metadata={'help': 'x'})", Argument("int", default=4)),
        (
            "x: str = field(default='b', metadata={'choices': ['a', 'b']})",
            Argument("str", False, ("a", "b"), "b"),
        ),
        (
            "x: str = field(default='info', metadata={'choices': trainer_log_levels.keys()})",
            Argument("str", False, LOG_LEVELS, "info"),
        ),
        (
            "x: str = field(default='a', metadata={'help': 'h', 'choices': other()})",
            Argument("str", default="a"),
        ),
        ("x: int = compute()", Argument("int", default=UNSET)),
        ("x: dict = field(default_factory=dict)", Argument("none", default={})),
        ("x: list = field(default_factory=make)", Argument("str", default=UNSET)),
        ("x: Path = None", Argument("str", default=None)),
        ("x: a.b.Thing[int] = None", Argument("str", default=None)),
        ("x: Optional[int]", Argument("int", default=UNSET)),
    ],
)
def test_fields(field: str, argument: Argument) -> None:
    """A dataclass field becomes an argument with its type, choices and default."""
    assert one(field) == argument


def test_lines_that_are_not_arguments() -> None:
    table = read(
        "@dataclass\n"
        "class RLHFArguments:\n"
        '    """Args:\n'
        "\n"
        "    fake: int = 1\n"
        '    """\n'
        "    kept: int = 1\n"
        "    hidden: int = field(init=False, default=2)\n"
        "    shared: ClassVar[int] = 3\n"
        "    plain = 4\n"
        "    def method(self):\n"
        "        local: int = 5\n"
    )
    assert list(table) == ["kept"]


def test_bases_in_the_order_of_python() -> None:
    """Two bases share a base: the nearer class counts, and a class that is not a dataclass adds nothing."""
    table = read(
        "from .one import One\n"
        "from .two import (Two as Second,  # a comment, with a comma\n"
        "                  Other)\n"
        "class Mixin(Other):\n    x: str = 'no dataclass'\n"
        "@dataclass\nclass RLHFArguments(One, Mixin, Second):\n    own: int = 0\n",
        swift__arguments__one="from .base import Base\n@dataclass\nclass One(Base):\n    x: int = 1\n",
        swift__arguments__two="from swift.arguments.base import Base\n"
        "@dataclass\nclass Two(Base):\n    x: int = 2\n    y: int = 2\n"
        "@dataclass(frozen=True)\n@other(\n  'x',\n)\nclass Other:\n    z: int = 3\n",
        swift__arguments__base="@dataclass\nclass Base:\n    x: int = 0\n    y: int = 0\n",
    )
    assert {name: argument.default for name, argument in table.items()} == {
        "x": 1, "y": 2, "z": 3, "own": 0,
    }  # fmt: skip


def test_a_field_that_a_nearer_class_hides() -> None:
    table = read(
        "@dataclass\nclass Base:\n    x: int = 0\n    y: int = 0\n"
        "@dataclass\nclass RLHFArguments(Base):\n    x: int = field(init=False)\n"
    )
    assert list(table) == ["y"]


def test_transformers_and_enumerations() -> None:
    """They are read from the modules that define them, not from transformers' lazy `__init__`."""
    table = read(
        "from transformers import Seq2SeqTrainingArguments as HfArguments\n"
        "@dataclass\nclass RLHFArguments(HfArguments):\n    own: int = 0\n",
        transformers__training_args_seq2seq="from .training_args import TrainingArguments\n"
        "@dataclass\n@add_start_docstrings(TrainingArguments.__doc__)\n"
        "class Seq2SeqTrainingArguments(TrainingArguments):\n    z: int = 0\n",
        transformers__training_args="from .trainer_utils import Strategy\n"
        "@dataclass\nclass TrainingArguments:\n"
        "    _VALID_DICT_FIELDS = ['deepspeed', 'kwargs']\n"
        "    strategy: Strategy | str = Strategy.STEPS\n"
        "    debug: str | list[Strategy] = ''\n"
        "    deepspeed: dict | str | None = None\n"
        "    kwargs: dict | str | None = None\n"
        "    wrong: Strategy = Strategy.GONE\n",
        transformers__trainer_utils="class Explicit(str, Enum):\n    pass\n"
        "class Strategy(ExplicitEnum):\n    NO = 'no'\n    STEPS = 'steps'\n    a, b = 1, 2\n",
    )
    assert table["strategy"] == Argument("str", False, ("no", "steps"), "steps")
    assert table["debug"] == Argument("str", True, ("no", "steps"), "")
    assert (table["deepspeed"].kind, table["kwargs"].kind) == ("str", "json")
    assert table["wrong"].default is UNSET


def test_what_ms_swift_reads_as_json() -> None:
    table = read(
        "@dataclass\nclass RLHFArguments:\n    a: Optional[str] = None\n    b: str = None\n"
        "    c: List[str] = None\n"
        "    def __post_init__(self):\n"
        "        self.a: dict = json_parse_to_dict(self.a)\n"
        "        self.b = self.parse_to_dict(self.b, strict=False)\n"
        "        self.c = json_parse_to_dict(self.c)\n"
    )
    assert [argument.kind for argument in table.values()] == ["json", "str", "str"]


@pytest.mark.parametrize(
    "body",
    [
        '    """doc\nX = 1 at the margin\n"""\n    x: int = 1\n',  # the regular expression takes it for the end of the class
        '    a: str = """\nclass Other:\n"""\n    x: int = 1\n',
        "    def method(self):\n        pass\n    x: int = 1\n",  # a field after a method
        "    @property\n    def p(self):\n        pass\n    x: int = 1\n",
    ],
)
def test_text_that_misleads_a_search(body: str) -> None:
    assert read(f"@dataclass\nclass RLHFArguments:\n{body}")["x"].default == 1


def test_the_place_before_4_0() -> None:
    old = "@dataclass\nclass RLHFArguments:\n    x: int = 1\n"
    sources = {"swift.llm.argument.rlhf_args": old}

    def find(module: str) -> tuple[str, bool] | None:
        return (sources[module], False) if module in sources else None

    assert list(read_arguments(find)) == ["x"]


@pytest.mark.parametrize(
    ("root", "message"),
    [
        ("x = 1\n", "no class RLHFArguments in"),
        ("from .gone import Gone\n@dataclass\nclass RLHFArguments(Gone):\n    x: int\n", "no source of Gone"),
        ("from transformers import X\n@dataclass\nclass RLHFArguments(X):\n    x: int\n", "no source of X"),
    ],
)  # fmt: skip
def test_a_layout_that_is_not_ms_swifts(root: str, message: str) -> None:
    with pytest.raises(SourceError, match=message):
        read(root)


def test_a_base_of_pythons_own_has_no_arguments() -> None:
    text = "from abc import ABC\nfrom typing import Generic\n"
    text += "@dataclass\nclass RLHFArguments(ABC, Generic[T], object):\n    x: int = 1\n"
    assert list(read(text)) == ["x"]


@pytest.mark.parametrize(
    "head",
    [
        "import sx\n@dataclass\nclass RLHFArguments(sx.Base):\n",
        "from x import *\n@dataclass\nclass RLHFArguments(Base):\n",
        "from trl import Base\n@dataclass\nclass RLHFArguments(Base):\n",
        "@dataclass\nclass RLHFArguments(make()):\n",
    ],
)
def test_a_base_that_is_not_understood_is_an_error(head: str) -> None:
    with pytest.raises(SourceError, match="no source of"):
        read(head + "    a: int = 1\n")


@pytest.mark.parametrize(
    "head",
    [
        "from .base import Base\n@dataclass\nclass RLHFArguments(Base[int]):\n",
        "class Other:\n    pass\nfrom .base import Base\n@dataclass\n\nclass RLHFArguments(Base):\n",
        "from .base import Base\n@dataclasses.dataclass\n@other(\n  1,\n)\n# why\nclass RLHFArguments(Base):\n",
    ],
)
def test_bases_and_decorators_in_other_layouts(head: str) -> None:
    base = "@dataclass\nclass Base:\n    b: int = 1\n"
    assert list(read(head + "    a: int = 1\n", swift__arguments__base=base)) == ["b", "a"]


def test_imports_that_go_round_in_a_circle_end() -> None:
    with pytest.raises(SourceError):
        read(
            "from .a import X\n@dataclass\nclass RLHFArguments(X):\n    y: int = 0\n",
            swift__arguments__a="from .b import X\n",
            swift__arguments__b="from .a import X\n",
        )
