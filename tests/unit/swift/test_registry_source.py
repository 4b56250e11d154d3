"""Reading the names that ms-swift registers, tested with small packages laid out like 4.x and 3.x."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from prl_submit.swift.cached import read_names
from prl_submit.swift.installed import Installed
from prl_submit.swift.registries import STRATEGIES, ModelKind, Registries
from prl_submit.swift.registry_source import read_registries

#: Like 4.x: the third argument is the loader, and templates are passed by name.
NEW = {
    "swift.model.models": "from . import (qwen, others)\n",
    "swift.model.constant": "class LLMModelType:\n    qwen2 = 'qwen2'\n    minicpm3 = 'minicpm-3'\n",
    "swift.model.models.utils": "",
    "swift.model.models.qwen": """
def load(): ...

register_model(
    ModelMeta(
        LLMModelType.qwen2, [
            ModelGroup([
                Model('Qwen/Qwen2-7B-Instruct', 'qwen/Qwen2-7B-Instruct'),
                Model(hf_model_id='Org/Other', ms_revision='v1.0'),
            ], template=TemplateType.qwen),
            ModelGroup([Model('Qwen/Coder')], TemplateType.coder),
        ],
        QwenLoader,
        template=TemplateType.qwen,
        architectures=['Qwen2ForCausalLM', 'Qwen2Other'],
    ))

register_model(make_meta())
""",
    "swift.model.models.others": """
register_model(
    ModelMeta(LLMModelType.minicpm3, ModelGroup([Model('a/b', 'c/d')]), architectures=['MiniCPM']))
register_model(ModelMeta(computed(), []))
""",
    "swift.template.templates": "from . import qwen\n",
    "swift.template.constant": "class LLMTemplateType:\n    qwen = 'qwen'\n    coder = 'qwen-coder'\n",
    "swift.template.templates.utils": "\nregister_template(TemplateMeta('chatml', prefix=[]))\n",
    "swift.template.templates.qwen": """
@dataclass
class OwnMeta(TemplateMeta):
    prefix: list = 1

    template_type: str = 'own'

register_template(TemplateMeta(LLMTemplateType.coder))
register_template(OwnMeta())
register_template(make())
""",
    "swift.loss_scale.mapping": "loss_scale_map: Dict[str, type] = {\n    'default': A,\n    'react': B,\n    OTHER: C,\n}\n",
    "swift.loss_scale.base": "ALL_BASE_STRATEGY = ['default', 'last_round']\n",
    "swift.rewards.orm": "orms = {\n    'accuracy': Accuracy,\n}\norms['later'] = Later\n",
}
#: Like 3.x: the third argument is the template.
OLD = {
    "swift.llm.model.model": "from . import qwen\n",
    "swift.llm.model.model.qwen": """
register_model(
    ModelMeta(
        'qwen2', [ModelGroup([Model('Qwen/Qwen2-7B')])], TemplateType.qwen, load,
        architectures=['Qwen2ForCausalLM']))
""",
    "swift.llm.template.template": "from . import qwen\n",
    "swift.llm.template.template.qwen": "\nregister_template(TemplateMeta(template_type='qwen'))\n",
    "swift.plugin.orm": "orms = {'format': Format}\n",
}


def registries(sources: Mapping[str, str]) -> Registries:
    """The names that a package with these modules registers."""
    return read_registries(lambda name: (sources[name], False) if name in sources else None)


def test_a_release_of_today() -> None:
    found = registries(NEW)
    assert found.models == {
        "qwen2": ModelKind(("Qwen2ForCausalLM", "Qwen2Other"), "qwen", ("qwen", "qwen-coder")),
        "minicpm-3": ModelKind(("MiniCPM",), None, ()),
    }
    assert found.names == {
        "qwen2-7b-instruct": ("qwen2", "qwen"),
        "other": ("qwen2", "qwen"),
        "coder": ("qwen2", "qwen-coder"),
        "b": ("minicpm-3", None),
        "d": ("minicpm-3", None),
    }
    assert found.others == {
        "loss_scale": ("default", "react"),
        "reward_funcs": ("accuracy",),
        STRATEGIES: ("default", "last_round"),
        "template": ("chatml", "qwen-coder", "own"),
    }
    assert found.types_of("MiniCPM") == ["minicpm-3"]


def test_an_older_release() -> None:
    found = registries(OLD)
    assert found.models == {"qwen2": ModelKind(("Qwen2ForCausalLM",), "qwen", ("qwen",))}
    assert found.others == {"reward_funcs": ("format",), "template": ("qwen",)}


def test_a_package_that_registers_nothing() -> None:
    assert registries({}) == Registries({}, {}, {"template": ()})


@pytest.fixture
def installed(tmp_path: Path) -> Installed:
    """The modules of NEW written as files."""
    for name, text in NEW.items():
        path = tmp_path / "site" / name.replace(".", "/")
        is_package = any(other.startswith(f"{name}.") for other in NEW)
        file = path / "__init__.py" if is_package else path.with_suffix(".py")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return Installed("4.6.0", [str(tmp_path / "site")])


def test_names_are_cached_until_a_file_changes(tmp_path: Path, installed: Installed) -> None:
    environ = {"XDG_CACHE_HOME": str(tmp_path / "cache")}
    first = read_names(installed, environ)
    assert first == registries(NEW)
    (remembered,) = (tmp_path / "cache").rglob("*-names.json")
    written = remembered.stat().st_mtime_ns
    assert read_names(installed, environ) == first
    assert remembered.stat().st_mtime_ns == written
    orm = tmp_path / "site/swift/rewards/orm.py"
    orm.write_text("orms = {'mine': Mine}\n")
    again = read_names(installed, environ)
    assert again is not None
    assert again.others["reward_funcs"] == ("mine",)
    remembered.write_text("damaged")
    assert read_names(installed, environ) == again


def test_source_that_is_not_ms_swift(tmp_path: Path, installed: Installed) -> None:
    environ = {"XDG_CACHE_HOME": str(tmp_path / "cache")}
    (tmp_path / "site/swift/model/models/qwen.py").write_text("\nregister_model(\n")
    assert read_names(installed, environ) is None
    (tmp_path / "site/swift/model/models/qwen.py").write_text("")
    (tmp_path / "site/swift/model/models/others.py").write_text("")
    assert read_names(installed, environ) is None
