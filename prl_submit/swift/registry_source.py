"""ms-swift's registries, read from its source by `ast`; nothing of it is imported.

ms-swift registers models and templates by calls at the left margin of some sixty modules, and all other
names as keys of dictionaries. Only the text of those calls and dictionaries is parsed.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator

from prl_submit.swift.registries import STRATEGIES, ModelKind, Registries

#: Dotted module name -> its source, and whether it is a package; None where there is none.
Find = Callable[[str], "tuple[str, bool] | None"]

#: Where models and templates are registered: since 4.0, and before.
_MODELS = (("swift.model.models", "swift.model.constant"),
           ("swift.llm.model.model", "swift.llm.model.constant"))  # fmt: skip
_TEMPLATES = (("swift.template.templates", "swift.template.constant"),
              ("swift.llm.template.template", "swift.llm.template.constant"))  # fmt: skip
#: Argument -> the modules and names of its dictionary, newest first.
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
#: ms-swift >= 3.9 loss_scale/base: the first word of `last_round+react`.
_STRATEGIES = (
    ("swift.loss_scale.base", "ALL_BASE_STRATEGY"),
    ("swift.plugin.loss_scale.base", "ALL_BASE_STRATEGY"),
    ("swift.plugin.loss_scale.loss_scale", "ALL_BASE_STRATEGY"),
)
_MARGIN = re.compile(r"\n[^\s#)\]}]")
_FROM_HERE = re.compile(r"from \. import (\([^)]*\)|[^\n]+)")
_CONSTANT = re.compile(r"^    (\w+) = ['\"]([^'\"]+)['\"]", re.MULTILINE)


def read_registries(find: Find) -> Registries:
    """All registries of an ms-swift. Raises an exception of any kind where its source is another."""
    models: dict[str, ModelKind] = {}
    names: dict[str, tuple[str, str | None]] = {}
    model_types, template_types = _constants(find, _MODELS), _constants(find, _TEMPLATES)
    for call in _calls(find, _MODELS, "register_model"):
        _add_model(call, model_types, template_types, models, names)
    others = {
        argument: found
        for argument, places in _DICTIONARIES.items()
        if (found := _first(find, places)) is not None
    }
    if (strategies := _first(find, _STRATEGIES)) is not None:
        others[STRATEGIES] = strategies
    others["template"] = tuple(dict.fromkeys(_templates(find, template_types)))
    return Registries(models, names, others)


def _templates(find: Find, constants: dict[str, str]) -> Iterator[str]:
    """The names of all templates; a class may have one of its own."""
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
    """One `register_model(ModelMeta(...))`."""
    meta = call.args[0]
    if not isinstance(meta, ast.Call):
        return
    kind = _text(_argument(meta, 0, "model_type"), types)
    if not kind:
        return
    # Before 4.0 the third word is the template, since then the loader.
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
    """The ModelGroup calls of a list, or the one there is."""
    for part in ast.walk(node) if node is not None else ():
        if isinstance(part, ast.Call) and getattr(part.func, "id", "") == "ModelGroup":
            yield part


def _model_names(group: ast.Call) -> Iterator[str]:
    """ms-swift 4.6.0 model_meta `get_matched_model_group`: what stands behind the last slash."""
    for part in ast.walk(group):
        if isinstance(part, ast.Call) and getattr(part.func, "id", "") == "Model":
            words = [
                *part.args[:3],
                *(k.value for k in part.keywords if k.arg and "revision" not in k.arg),
            ]
            for word in words:
                if isinstance(word, ast.Constant) and isinstance(word.value, str):
                    yield word.value.rsplit("/", 1)[-1].lower()


def _argument(call: ast.Call, place: int | None, name: str) -> ast.expr | None:
    for keyword in call.keywords:
        if keyword.arg == name:
            return keyword.value
    return call.args[place] if place is not None and len(call.args) > place else None


def _text(node: ast.expr | None, constants: dict[str, str]) -> str | None:
    """A constant, or `TemplateType.qwen2_5` by its definition."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else None
    if isinstance(node, ast.Attribute) and getattr(node.value, "id", "").endswith("Type"):
        return constants.get(node.attr, node.attr)
    return None


def _texts(node: ast.expr | None, constants: dict[str, str]) -> Iterator[str]:
    items = node.elts if isinstance(node, (ast.List, ast.Tuple)) else []
    for item in items:
        if value := _text(item, constants):
            yield value


def _constants(find: Find, places: tuple[tuple[str, str], ...]) -> dict[str, str]:
    """The names of a constant.py whose value is another one."""
    for _, module in places:
        if found := find(module):
            return {name: value for name, value in _CONSTANT.findall(found[0]) if name != value}
    return {}


def _modules(find: Find, places: tuple[tuple[str, str], ...]) -> Iterator[str]:
    """The texts of a package's modules, in the order of its imports."""
    for package, _ in places:
        front = find(package)
        if front is None:
            continue
        # utils, which the others import, registers chatml and dummy.
        for names in ["utils", *_FROM_HERE.findall(front[0])]:
            for name in names.strip("()").split(","):
                if (found := find(f"{package}.{name.strip()}")) is not None:
                    yield found[0]
        return


def _calls(find: Find, places: tuple[tuple[str, str], ...], name: str) -> Iterator[ast.Call]:
    """The calls of a function at the left margin."""
    for text in _modules(find, places):
        end = 0
        while (start := text.find(f"\n{name}(", end)) >= 0:
            margin = _MARGIN.search(text, start + 1)
            end = margin.start() if margin else len(text)
            node = ast.parse(text[start:end]).body[0]
            if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
                yield node.value


def _first(find: Find, places: tuple[tuple[str, str], ...]) -> tuple[str, ...] | None:
    """The words of the first of several dictionaries or lists that is there."""
    for module, name in places:
        found = find(module)
        if found is not None and (words := _words(found[0], name)) is not None:
            return words
    return None


def _words(text: str, name: str) -> tuple[str, ...] | None:
    """The keys of `NAME = {...}`, or the items of a list, at the left margin."""
    match = re.search(rf"^{name}(?:: [^=\n]+)? = (?=[\[{{])", text, re.MULTILINE)
    if match is None:
        return None
    margin = _MARGIN.search(text, match.end())
    node = ast.parse(text[match.end() : margin.start() if margin else len(text)], mode="eval").body
    items = node.keys if isinstance(node, ast.Dict) else getattr(node, "elts", [])
    return tuple(str(item.value) for item in items if isinstance(item, ast.Constant))
