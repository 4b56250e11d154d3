"""Reading the names that ms-swift registers from its source, without importing it.

ms-swift registers models and templates by function calls at the top level of about sixty modules. Its
other names are keys of dictionaries. Only the text of those calls and dictionaries is parsed with `ast`.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator

from prl_submit.swift.registries import STRATEGIES, ModelKind, Registries

#: A function from a dotted module name to the module's source and whether it is a package. It returns None
#: if there is no such module.
Find = Callable[[str], "tuple[str, bool] | None"]

#: The modules that register models and templates, each with the module of its constants: since 4.0, and
#: before.
_MODELS = (("swift.model.models", "swift.model.constant"),
           ("swift.llm.model.model", "swift.llm.model.constant"))  # fmt: skip
_TEMPLATES = (("swift.template.templates", "swift.template.constant"),
              ("swift.llm.template.template", "swift.llm.template.constant"))  # fmt: skip
#: Argument -> the module and name of the dictionary with its names; the newest release's comes first.
_DICTIONARIES: dict[str, tuple[tuple[str, str], ...]] = {
    "loss_scale": (
        ("swift.loss_scale.mapping", "loss_scale_map"),
        ("swift.plugin.loss_scale.loss_scale", "loss_scale_map"),
        ("swift.plugin.loss_scale", "loss_scale_map"),
    ),
    "agent_template": (
        ("swift.agent_template.mapping", "agent_template_map"),
        ("swift.agent_template", "agent_template_map"),
        ("swift.plugin.agent_template", "agent_templates"),
    ),
    "reward_funcs": (("swift.rewards.orm", "orms"), ("swift.plugin.orm", "orms")),
    "reward_model_plugin": (
        ("swift.rewards.rm_plugin", "rm_plugins"),
        ("swift.plugin.rm_plugin", "rm_plugins"),
    ),
    "multi_turn_scheduler": (
        ("swift.rollout.multi_turn", "multi_turns"),
        ("swift.plugin.multi_turn", "multi_turns"),
    ),
    "callbacks": (("swift.callbacks.mapping", "callbacks_map"),),
    "optimizer": (
        ("swift.optimizers.mapping", "optimizers_map"),
        ("swift.plugin.optimizer", "optimizers_map"),
    ),
    "eval_metric": (("swift.metrics.mapping", "eval_metrics_map"),),
    "tuner_type": (
        ("swift.tuner_plugin.mapping", "tuners_map"),
        ("swift.plugin.tuner", "extra_tuners"),
    ),
}
#: The module and name of the list of strategies, the first word of `last_round+react` (ms-swift >= 3.9).
_STRATEGIES = (
    ("swift.loss_scale.base", "ALL_BASE_STRATEGY"),
    ("swift.plugin.loss_scale.base", "ALL_BASE_STRATEGY"),
    ("swift.plugin.loss_scale.loss_scale", "ALL_BASE_STRATEGY"),
)
#: The beginning of the next statement at the top level.
_MARGIN = re.compile(r"\n[^\s#)\]}]")
_FROM_HERE = re.compile(r"from \. import (\([^)]*\)|[^\n]+)")
_CONSTANT = re.compile(r"^    (\w+) = ['\"]([^'\"]+)['\"]", re.MULTILINE)


def read_registries(find: Find) -> Registries:
    """All names that an ms-swift registers.

    May raise any exception if the source is not laid out like that of a known release.
    """
    models: dict[str, ModelKind] = {}
    names: dict[str, tuple[str, str | None]] = {}
    model_types, template_types = _constants(find, _MODELS), _constants(find, _TEMPLATES)
    for call in _calls(find, _MODELS, "register_model"):
        _add_model(call, model_types, template_types, models, names)
    others: dict[str, tuple[str, ...]] = {}
    for argument, places in (*_DICTIONARIES.items(), (STRATEGIES, _STRATEGIES)):
        found = _first(find, places)
        if found is not None:
            others[argument] = found
    others["template"] = tuple(dict.fromkeys(_templates(find, template_types)))
    return Registries(models, names, others)


def _templates(find: Find, constants: dict[str, str]) -> Iterator[str]:
    """The names of all templates. A template's class may set the name itself (`template_type`)."""
    own: dict[str, str] = {}
    for text in _modules(find, _TEMPLATES):
        for match in re.finditer(
            r"\nclass (\w+)\([^\n]*\n(?:    [^\n]*\n|\n)*?    template_type: str = '(\w+)'", text
        ):
            own[match[1]] = match[2]
    for call in _calls(find, _TEMPLATES, "register_template"):
        meta = call.args[0]
        if not isinstance(meta, ast.Call):
            continue
        name = _argument(meta, 0, "template_type")
        value = _text(name, constants) if name is not None else None
        value = value or own.get(getattr(meta.func, "id", ""))
        if value:
            yield value


def _add_model(
    call: ast.Call,
    types: dict[str, str],
    constants: dict[str, str],
    models: dict[str, ModelKind],
    names: dict[str, tuple[str, str | None]],
) -> None:
    """Add the model of one call `register_model(ModelMeta(...))` to `models` and `names`."""
    meta = call.args[0]
    if not isinstance(meta, ast.Call):
        return
    kind = _text(_argument(meta, 0, "model_type"), types)
    if not kind:
        return
    # The third argument is the template before 4.0, and the loader (not a text) since then.
    third = _text(meta.args[2], constants) if len(meta.args) > 2 else None
    template = _text(_argument(meta, None, "template"), constants) or third
    templates: list[str] = [template] if template else []
    for group in _groups(_argument(meta, 1, "model_groups")):
        own = _text(_argument(group, None, "template"), constants)
        if own is None and len(group.args) > 1:
            own = _text(group.args[1], constants)
        templates += [own] if own else []
        for name in _model_names(group):
            names.setdefault(name, (kind, own))
    architectures = _argument(meta, None, "architectures")
    models[kind] = ModelKind(
        tuple(_texts(architectures, constants)), template, tuple(dict.fromkeys(templates))
    )


def _groups(node: ast.expr | None) -> Iterator[ast.Call]:
    """All ModelGroup(...) calls inside an expression."""
    for part in ast.walk(node) if node is not None else ():
        if isinstance(part, ast.Call) and getattr(part.func, "id", "") == "ModelGroup":
            yield part


def _model_names(group: ast.Call) -> Iterator[str]:
    """The names of a group's models, without the part before the last slash, in lower case.

    ms-swift 4.6.0 model_meta `get_matched_model_group` compares names so.
    """
    for part in ast.walk(group):
        if not isinstance(part, ast.Call) or getattr(part.func, "id", "") != "Model":
            continue
        words = list(part.args[:3])
        for keyword in part.keywords:
            if keyword.arg and "revision" not in keyword.arg:
                words.append(keyword.value)
        for word in words:
            if isinstance(word, ast.Constant) and isinstance(word.value, str):
                yield word.value.rsplit("/", 1)[-1].lower()


def _argument(call: ast.Call, place: int | None, name: str) -> ast.expr | None:
    """The argument of a call with this name, or at this position (None: by name only)."""
    for keyword in call.keywords:
        if keyword.arg == name:
            return keyword.value
    return call.args[place] if place is not None and len(call.args) > place else None


def _text(node: ast.expr | None, constants: dict[str, str]) -> str | None:
    """The text of a constant, or of an expression such as `TemplateType.qwen2_5`; None for anything else."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else None
    if isinstance(node, ast.Attribute) and getattr(node.value, "id", "").endswith("Type"):
        return constants.get(node.attr, node.attr)
    return None


def _texts(node: ast.expr | None, constants: dict[str, str]) -> Iterator[str]:
    """The texts in a list or tuple."""
    items = node.elts if isinstance(node, (ast.List, ast.Tuple)) else []
    for item in items:
        value = _text(item, constants)
        if value:
            yield value


def _constants(find: Find, places: tuple[tuple[str, str], ...]) -> dict[str, str]:
    """The constants in constant.py whose value differs from their name: name -> value."""
    for _, module in places:
        found = find(module)
        if found:
            return {name: value for name, value in _CONSTANT.findall(found[0]) if name != value}
    return {}


def _modules(find: Find, places: tuple[tuple[str, str], ...]) -> Iterator[str]:
    """The texts of a package's modules, in the order in which the package imports them."""
    for package, _ in places:
        front = find(package)
        if front is None:
            continue
        # The module utils registers chatml and dummy; the other modules import utils, so it comes first.
        for names in ["utils", *_FROM_HERE.findall(front[0])]:
            for name in names.strip("()").split(","):
                found = find(f"{package}.{name.strip()}")
                if found is not None:
                    yield found[0]
        return


def _calls(find: Find, places: tuple[tuple[str, str], ...], name: str) -> Iterator[ast.Call]:
    """The calls of a function at the top level of the modules."""
    for text in _modules(find, places):
        start = text.find(f"\n{name}(")
        while start >= 0:
            margin = _MARGIN.search(text, start + 1)
            end = margin.start() if margin else len(text)
            node = ast.parse(text[start:end]).body[0]
            if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
                yield node.value
            start = text.find(f"\n{name}(", end)


def _first(find: Find, places: tuple[tuple[str, str], ...]) -> tuple[str, ...] | None:
    """The keys or items of the first dictionary or list that exists; None if none does."""
    for module, name in places:
        found = find(module)
        words = None if found is None else _words(found[0], name)
        if words is not None:
            return words
    return None


def _words(text: str, name: str) -> tuple[str, ...] | None:
    """The keys of `NAME = {...}`, or the items of `NAME = [...]`, at the top level; None without either."""
    match = re.search(rf"^{name}(?:: [^=\n]+)? = (?=[\[{{])", text, re.MULTILINE)
    if match is None:
        return None
    margin = _MARGIN.search(text, match.end())
    end = margin.start() if margin else len(text)
    node = ast.parse(text[match.end() : end], mode="eval").body
    items = node.keys if isinstance(node, ast.Dict) else getattr(node, "elts", [])
    return tuple(str(item.value) for item in items if isinstance(item, ast.Constant))
