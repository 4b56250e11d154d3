"""Checks of plugin files: their syntax and imports, and the names that they register with ms-swift.

Plugins register rewards, schedulers, callbacks and others. A plugin is Python code and may do anything. A
name counts as registered if the text plainly registers it. A name counts as missing only if the whole file
can be followed: it makes no name at run time, and it imports nothing that could register names.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator

from msgspec import Struct

from prl_submit.errors import Problem
from prl_submit.inputs.paths import made_by_setup, resolve
from prl_submit.inputs.plugin_cache import facts_of
from prl_submit.inputs.plugin_facts import Fault, PluginFacts
from prl_submit.rules.builtin import (
    CALLBACKS,
    MODEL_PLUGINS,
    OPTIMIZERS,
    REWARDS,
    TUNERS,
    TURN_SCHEDULERS,
)
from prl_submit.rules.job import Job
from prl_submit.system.reading import read_regular

#: Argument -> the name of ms-swift's registry, the names that ms-swift itself registers there, the rlhf
#: types that read the argument (empty: all), and the first release with this registry.
REGISTRIES: dict[str, tuple[str, tuple[str, ...], tuple[str, ...], str]] = {
    "reward_funcs": ("orms", REWARDS, ("grpo",), "3.0"),
    "reward_model_plugin": ("rm_plugins", MODEL_PLUGINS, ("grpo",), "3.4.1"),
    "multi_turn_scheduler": ("multi_turns", TURN_SCHEDULERS, ("grpo",), "3.8"),
    "callbacks": ("callbacks_map", CALLBACKS, (), "4.0"),
    "optimizer": ("optimizers_map", OPTIMIZERS, (), "4.0"),
    "tuner_type": ("tuners_map", TUNERS, (), "4.0"),
    "train_type": ("extra_tuners", TUNERS, (), "3.0"),
}
MAX_BYTES = 4_000_000
#: How many files are read, counting a plugin and the files that it imports.
MAX_FILES = 50
#: Reward of ms-swift -> the column without which it stops (ms-swift 4.6.0 rewards/orm).
_ANSWERS = {
    "accuracy": "solution",
    "cosine": "solution",
    "toolbench": "solution",
    "math": "ground_truths",
}


class Plugin(Struct, frozen=True):
    """A plugin file: its path as the user wrote it, and its text."""

    given: str
    source: str


def check(job: Job, workdir: str) -> Iterator[Problem]:
    """Problems with plugin files, and with names that neither ms-swift nor a plugin registers.

    ms-swift meets such a name only after it has loaded the model. Source: ms-swift 4.6.0 grpo_trainer
    `_prepare_rewards`, rollout_mixin, trainers/mixin, tuner.
    """
    problems = [*modules(job, workdir), *syntax(job, workdir), *imported(job, workdir)]
    yield from problems
    if any(problem.severity == "error" for problem in problems):
        return  # ms-swift cannot import the plugins, so nothing is known of their names
    yield from calls(job, workdir)
    wanted = list(_unknown(job))
    if not wanted:
        return
    files = read_plugins(job, workdir)
    if files is None:
        return
    for argument, name in wanted:
        names = _all_but(job, argument, name, files)
        if names is not None:
            yield missing(job, argument, name, sorted(names), REGISTRIES[argument][1], files)


def _all_but(job: Job, argument: str, name: str, files: list[Plugin]) -> set[str] | None:
    """The names that the plugins and the job's own ms-swift register in addition to ms-swift's names.

    None if `name` is registered, or may be registered by code that cannot be followed.
    """
    registry, builtin, *_ = REGISTRIES[argument]
    if any(says(plugin.source, registry, name) for plugin in files):
        return None
    if registry == "orms" and name in _own_rewards(job)[1].registered:
        return None
    from prl_submit.inputs.plugin_ast import provided

    found = [provided(plugin.source, registry) for plugin in files]
    if job.source is not None:
        from prl_submit.inputs.swift_source import registered

        found.append(registered(job.source, registry))
    names: set[str] = set()
    for registered_names in found:
        if registered_names is None:
            return None
        names |= registered_names
    return None if name in names else names - set(builtin)


def _own_rewards(job: Job) -> tuple[str, PluginFacts]:
    """The file of the job's ms-swift that registers rewards, and the facts about it.

    Empty if that ms-swift is not on this machine.
    """
    if job.source is not None:
        from prl_submit.inputs.swift_source import reward_file

        file = reward_file(job.source)
        facts = facts_of(os.path.join(job.source, file)) if file else None
        if file and facts:
            return file, facts
    return "", PluginFacts()


def modules(job: Job, workdir: str) -> Iterator[Problem]:
    """Plugin files that ms-swift cannot import, or in whose place it may import another module.

    ms-swift 4.6 imports the file itself. Earlier releases import a module by the file's name without .py.
    Source: ms-swift utils `import_external_file`.
    """
    seen: dict[str, str] = {}
    for argument in ("external_plugins", "custom_register_path"):
        for given in map(str, job.many(argument)):
            path = resolve(given, workdir)
            name, _, ending = os.path.basename(path).partition(".")
            if os.path.isfile(path) and ending != "py" and not _is_imported(path, job):
                hint = "give a Python file, NAME.py"
                yield job.refuse(argument, f"{given} is a file that ms-swift cannot import", hint)
            elif job.since("4.6"):
                continue
            elif name in sys.stdlib_module_names:
                message = (
                    f"{given}: Python has a module {name} too, which ms-swift may import instead"
                )
                yield job.warn(argument, message, "give the file another name")
            elif seen.setdefault(name, path) != path:
                message = f"{given}: another plugin has the module name {name} too, and ms-swift imports only the first"
                yield job.refuse(argument, message, "give the files different names")


def _is_imported(path: str, job: Job) -> bool:
    """True if ms-swift imports a file whose name has two dots: 4.6 does, earlier releases import `my` of `my.rewards.py`."""
    return job.since("4.6") and path.endswith((".py", ".pyc", ".so"))


def syntax(job: Job, workdir: str) -> Iterator[Problem]:
    """The first syntax error of a plugin, or of the modules beside the plugin that it imports.

    The Python that runs prl-submit reads the files. If the job has another Python, or one that is not known
    and the line may be valid in a later Python, the problem is a warning.
    """
    for argument in ("external_plugins", "custom_register_path"):
        for given in map(str, job.many(argument)):
            path = resolve(given, workdir)
            for file, facts in with_imports(path, workdir):
                if facts.fault and not made_by_setup(job, file, workdir):
                    yield _broken(job, argument, given, path, file, facts.fault)
                    break


def _broken(job: Job, argument: str, given: str, path: str, file: str, fault: Fault) -> Problem:
    """The problem of a syntax error in `file`, which is the plugin itself (`path`) or a file it imports."""
    shown = given
    if file != path:
        shown = os.path.join(os.path.dirname(given), os.path.relpath(file, os.path.dirname(path)))
    place = shown if fault.line is None else f"{shown}:{fault.line}"
    message = f"{place}: {fault.message}" + (f", imported by {given}" if file != path else "")
    ours = f"{sys.version_info[0]}.{sys.version_info[1]}"
    theirs = job.python
    hint = f"found: {fault.text.strip()}" if fault.text.strip() else "correct the file"
    if theirs != ours and (theirs is not None or _may_be_later(fault)):
        hint += f"; prl-submit reads it with Python {ours}, and the job's Python is {theirs or 'not known'}"
        return job.warn(argument, message, hint)
    return job.refuse(argument, message, hint)


def _may_be_later(fault: Fault) -> bool:
    """True if the line may be syntax of Python 3.11 to 3.14.

    That is except*, type parameters, quotes in f-strings, and t-strings.
    """
    if fault.message.startswith(("f-string", "t-string", "multiple exception types")):
        return True
    later = (
        r"\s*(type\s+\w+\s*[\[=]|class\s+\w+\s*\[|(async\s+)?def\s+\w+\s*\[|except\s*\*)|.*\bt[\"']"
    )
    return re.match(later, fault.text) is not None


def with_imports(path: str, workdir: str) -> Iterator[tuple[str, PluginFacts]]:
    """A plugin and the files that it imports from its own folder or the working directory, each once."""
    waiting, seen = [path], set[str]()
    while waiting and len(seen) < MAX_FILES:
        file = waiting.pop(0)
        facts = None if file in seen else facts_of(file)
        seen.add(file)
        if facts is not None:
            yield file, facts
            for folder in (os.path.dirname(path), workdir):
                waiting += [found for name in facts.imports for found in _files(name, folder)]


def _files(module: str, folder: str) -> Iterator[str]:
    """The files of a dotted module below a folder that exist."""
    place = os.path.join(folder, *module.split("."))
    for file in (f"{place}.py", os.path.join(place, "__init__.py")):
        if os.path.isfile(file):
            yield file


def imported(job: Job, workdir: str) -> Iterator[Problem]:
    """Modules that a plugin imports at its top level and that the job cannot import.

    It is checked only if the job's environment is on this machine.
    """
    for argument in ("external_plugins", "custom_register_path"):
        for given in map(str, job.many(argument)):
            path = resolve(given, workdir)
            facts = facts_of(path) if path.endswith(".py") else None
            if facts and facts.relative:
                message = f"{given}:{facts.relative}: `from .` works only in a package, and a plugin is not in one"
                hint = "import the module by its name; Python looks in the plugin's folder first"
                yield job.refuse(argument, message, hint)
            if _is_known(job):
                for file, found in with_imports(path, workdir):
                    yield from _lacking(job, argument, file, path, given, found, workdir)


def _is_known(job: Job) -> bool:
    """True if this machine can tell what the job can import: no setup line and no variable changes it."""
    env = job.spec.environment
    if not job.folders or env.modules or "PYTHONPATH" in env.env:
        return False
    changing = ("pip", "conda", "mamba", "uv ", "PYTHONPATH", "source ", ". ", "install")
    lines = "\n".join(env.setup)
    return not any(word in lines for word in changing)


def _lacking(
    job: Job, argument: str, file: str, path: str, given: str, facts: PluginFacts, workdir: str
) -> Iterator[Problem]:
    """Problems for modules that `file` imports and that neither its folder nor the environment has."""
    from prl_submit.inputs.packages import installed

    tops = {name.partition(".")[0] for name in facts.imports} - {"swift", "torch"}
    if not tops or any(_has_links(folder) for folder in job.folders):
        return
    have = installed(sorted({workdir, os.path.dirname(path), *job.folders}))
    for name in sorted(top for top in tops if top not in have):
        where = given if file == path else f"{os.path.relpath(file, workdir)}, imported by {given},"
        message = f"{where} imports {name}, which is neither in its folder nor in the environment"
        hint = f"install the package that has {name}, or put {name}.py beside the plugin"
        yield job.refuse(argument, message, hint)


#: .pth files that do not name other folders.
_HARMLESS_PTH = ("distutils-precedence.pth", "_virtualenv.pth", "-nspkg.pth")


def _has_links(folder: str) -> bool:
    """True if this folder of packages points to other folders, as `pip install -e` makes it do."""
    try:
        names = os.listdir(folder)
    except OSError:
        return True
    return any(
        name.endswith((".pth", ".egg-link")) and not name.endswith(_HARMLESS_PTH) for name in names
    )


def needs(job: Job, workdir: str) -> Iterator[tuple[str, list[str], str]]:
    """The columns that each reward of the job needs: the reward, the columns, and where that is written."""
    files = [(given, facts_of(resolve(given, workdir))) for given in _given(job)]
    for name in map(str, job.many("reward_funcs")):
        naming = [(given, facts) for given, facts in files if not facts or name in facts.registered]
        if not naming and name in _ANSWERS:
            yield name, [_ANSWERS[name]], "ms-swift"
            continue
        if not naming and name not in REWARDS:
            naming = [_own_rewards(job)]
        if len(naming) != 1:
            continue  # ms-swift's own, or registered by several files
        file, facts = naming[0]
        reward = facts.rewards.get(name) if facts else None
        if reward:
            yield name, reward.needs, f"{file}:{reward.line}"


def calls(job: Job, workdir: str) -> Iterator[Problem]:
    """Reward classes that ms-swift cannot make or call.

    ms-swift calls a reward with the completions and every column, and since 4.0 makes it with `args`.
    Source: ms-swift 4.6.0 grpo_trainer `_prepare_rewards`, rl_core `compute_rewards_per_func`.
    """
    if job.rlhf_type != "grpo":
        return
    for given in _given(job):
        facts = facts_of(resolve(given, workdir))
        for name in map(str, job.many("reward_funcs")):
            reward = facts.rewards.get(name) if facts else None
            if reward is None:
                continue
            if not reward.takes_all:
                message = f"{given}:{reward.line}: __call__ of {name} has no **kwargs, but ms-swift passes every column"
                hint = "write def __call__(self, completions, **kwargs)"
                yield job.refuse("reward_funcs", message, hint)
            if reward.init_line and job.since("4.0"):
                message = f"{given}:{reward.init_line}: __init__ of {name} has no args, which ms-swift 4 passes"
                hint = "write def __init__(self, args=None, **kwargs)"
                yield job.refuse("reward_funcs", message, hint)


def missing(
    job: Job,
    argument: str,
    name: str,
    names: list[str],
    builtin: tuple[str, ...],
    files: list[Plugin],
) -> Problem:
    """The problem of a name that nothing registers."""
    where = " or ".join(plugin.given for plugin in files)
    message = f"{name} is not known to ms-swift"
    message += f", and {where} does not register it" if files else ", and the job has no plugin"
    from prl_submit.spec.suggest import closest

    near = closest(name, [*names, *builtin], 0.6)
    hint = f"did you mean {near}?" if near else f"known: {', '.join([*names, *builtin])}"
    return job.refuse(argument, message, hint)


def _unknown(job: Job) -> Iterator[tuple[str, str]]:
    """The arguments and names that ms-swift itself does not register, and that no rule reports already."""
    if not job.has_known_names:
        return
    for argument, (_, builtin, types, since) in REGISTRIES.items():
        if argument not in job.swift or (types and job.rlhf_type not in types):
            continue
        if not job.since(since) or (argument != "reward_funcs" and not job.may_know_more):
            continue
        for name in job.many(argument):
            if name not in builtin:
                yield argument, str(name)


def _given(job: Job) -> list[str]:
    """The plugin files as the user wrote them."""
    names = job.many("external_plugins") + job.many("custom_register_path")
    return [str(name) for name in names]


def read_plugins(job: Job, workdir: str) -> list[Plugin] | None:
    """All plugin files with their texts.

    None if one cannot be read (`local_files` reports it) or a setup line may change it.
    """
    files = []
    for given in _given(job):
        path = resolve(given, workdir)
        if made_by_setup(job, path, workdir):
            return None
        try:
            files.append(Plugin(given, read_regular(path, MAX_BYTES).decode("utf-8")))
        except (OSError, UnicodeDecodeError):
            return None
    return files


def says(source: str, registry: str, name: str) -> bool:
    """True if the text plainly registers `name`: as a key, or in a call of `update` or `setdefault`.

    No regular expression is used, because one takes half a millisecond for a plugin of 20 kB.
    """
    start = source.find(registry)
    while start >= 0:
        end = start + len(registry)
        if _registers_here(source[end : end + 2000].lstrip(), name):
            return True
        start = source.find(registry, end)
    return False


def _registers_here(after: str, name: str) -> bool:
    """True if the text that follows the registry's name registers `name`."""
    if after[:1] == "[":
        return _is_quoted(after[1:].partition("]")[0], name)
    call, _, inside = after.partition("(")
    if call.strip() not in (".update", ".setdefault"):
        return False
    for part in inside.partition(")")[0].split(","):
        if part.partition("=")[0].strip() == name:
            return True
        if _is_quoted(part.partition(":")[0].strip().lstrip("{"), name):
            return True
    return False


def _is_quoted(text: str, name: str) -> bool:
    return text.strip() in (f"'{name}'", f'"{name}"')


def registers_datasets(job: Job, workdir: str) -> bool:
    """True if a plugin may read data files in its own way and so give the rows other columns."""
    files = read_plugins(job, workdir)
    return files is None or any("register_dataset" in plugin.source for plugin in files)
