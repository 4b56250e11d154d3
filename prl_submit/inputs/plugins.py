"""Names that plugin files register with ms-swift: rewards, schedulers, callbacks and the like.

A plugin is Python and may do anything. A name counts as provided wherever the text plainly says so;
it counts as missing only where the whole file can be followed, and that is rarely: no name made at
run time, nothing imported that could register on its own.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator

from msgspec import Struct

from prl_submit.errors import Problem
from prl_submit.inputs.paths import made_by_setup, resolve
from prl_submit.inputs.plugin_facts import Fault, PluginFacts, facts_of
from prl_submit.rules.builtin import (
    CALLBACKS,
    MODEL_PLUGINS,
    OPTIMIZERS,
    REWARDS,
    SCHEDULERS,
    TUNERS,
)
from prl_submit.rules.job import Job
from prl_submit.system.reading import read_regular

#: Argument -> ms-swift's registry for it, what that has from the start, the types that look, and
#: since when it is called so.
REGISTRIES: dict[str, tuple[str, tuple[str, ...], tuple[str, ...], str]] = {
    "reward_funcs": ("orms", REWARDS, ("grpo",), "3.0"),
    "reward_model_plugin": ("rm_plugins", MODEL_PLUGINS, ("grpo",), "3.4.1"),
    "multi_turn_scheduler": ("multi_turns", SCHEDULERS, ("grpo",), "3.8"),
    "callbacks": ("callbacks_map", CALLBACKS, (), "4.0"),
    "optimizer": ("optimizers_map", OPTIMIZERS, (), "4.0"),
    "tuner_type": ("tuners_map", TUNERS, (), "4.0"),
    "train_type": ("extra_tuners", TUNERS, (), "3.0"),
}
MAX_BYTES = 4_000_000
#: Of a plugin and what it imports.
MAX_FILES = 50
#: ms-swift 4.6.0 rewards/orm: what these are called with; without the column they stop.
_ANSWERS = {
    "accuracy": "solution",
    "cosine": "solution",
    "toolbench": "solution",
    "math": "ground_truths",
}


class Plugin(Struct, frozen=True):
    """A plugin file's text, and the path as it was given."""

    given: str
    source: str


def check(job: Job, workdir: str) -> Iterator[Problem]:
    """ms-swift 4.6.0 grpo_trainer `_prepare_rewards`, rollout_mixin, trainers/mixin, tuner.

    Names that are neither ms-swift's own nor a plugin's fail after the model is loaded.
    """
    told = [*modules(job, workdir), *syntax(job, workdir), *imported(job, workdir)]
    yield from told
    broken = any(problem.severity == "error" for problem in told)
    wanted = [] if broken else list(_unknown(job))
    if not broken:
        yield from calls(job, workdir)
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
    """What is registered beside the names of releases; None where `name` is, or may be, among them."""
    registry, builtin, *_ = REGISTRIES[argument]
    if any(says(plugin.source, registry, name) for plugin in files):
        return None
    if registry == "orms" and name in _own_rewards(job)[1].registered:
        return None
    from prl_submit.inputs.plugin_ast import provided  # for a name that no text plainly has

    found = [provided(plugin.source, registry) for plugin in files]
    if job.source is not None:
        from prl_submit.inputs.swift_source import registered

        found.append(registered(job.source, registry))
    names = {known for names in found for known in names or ()}
    return None if None in found or name in names else names - set(builtin)


def _own_rewards(job: Job) -> tuple[str, PluginFacts]:
    """The file of the job's ms-swift that has its rewards, and what it says; nothing where it is not here."""
    if job.source is not None:
        from prl_submit.inputs.swift_source import reward_file

        file = reward_file(job.source)
        facts = facts_of(os.path.join(job.source, file)) if file else None
        if file and facts:
            return file, facts
    return "", PluginFacts()


def modules(job: Job, workdir: str) -> Iterator[Problem]:
    """ms-swift utils `import_external_file`: 4.6 imports the file, all before the module of its name."""
    seen: dict[str, str] = {}
    for argument in ("external_plugins", "custom_register_path"):
        for given in map(str, job.many(argument)):
            path = resolve(given, workdir)
            name, _, ending = os.path.basename(path).partition(".")
            if os.path.isfile(path) and ending != "py" and not _is_imported(path, job):
                hint = "a Python file, NAME.py"
                yield job.refuse(argument, f"{given} is not what ms-swift can import", hint)
            elif job.since("4.6"):
                continue
            elif name in sys.stdlib_module_names:
                message = (
                    f"{given}: {name} is a module of Python's, which ms-swift may import instead"
                )
                yield job.warn(argument, message, "give the file another name")
            elif seen.setdefault(name, path) != path:
                message = f"{given}: another plugin is the module {name} too, and only the first is imported"
                yield job.refuse(argument, message, "give the files different names")


def _is_imported(path: str, job: Job) -> bool:
    """`my.rewards.py` is a file for 4.6, and the module `my` for all before."""
    return job.since("4.6") and path.endswith((".py", ".pyc", ".so"))


def syntax(job: Job, workdir: str) -> Iterator[Problem]:
    """The first syntax error of a plugin and of the modules beside it that it imports.

    Read by the Python that runs prl-submit: where the job's is another one, or not known, and the line
    may be of a later Python, it is a warning.
    """
    for argument in ("external_plugins", "custom_register_path"):
        for given in map(str, job.many(argument)):
            path = resolve(given, workdir)
            for file, facts in _with_imports(path, workdir):
                if facts.fault and not made_by_setup(job, file, workdir):
                    yield _broken(job, argument, given, path, file, facts.fault)
                    break


def _broken(job: Job, argument: str, given: str, path: str, file: str, fault: Fault) -> Problem:
    shown = given
    if file != path:
        shown = os.path.join(os.path.dirname(given), os.path.relpath(file, os.path.dirname(path)))
    place = shown if fault.line is None else f"{shown}:{fault.line}"
    message = f"{place}: {fault.message}" + (f", imported by {given}" if file != path else "")
    ours = f"{sys.version_info[0]}.{sys.version_info[1]}"
    theirs = job.python
    hint = f"found: {fault.text.strip()}" if fault.text.strip() else "correct the file"
    if theirs != ours and (theirs is not None or _may_be_later(fault)):
        hint += f"; read with Python {ours}, and the job's is {theirs or 'not known'}"
        return job.warn(argument, message, hint)
    return job.refuse(argument, message, hint)


def _may_be_later(fault: Fault) -> bool:
    """Syntax of Python 3.11 to 3.14: except*, type parameters, quotes in f-strings, t-strings."""
    if fault.message.startswith(("f-string", "t-string", "multiple exception types")):
        return True
    later = (
        r"\s*(type\s+\w+\s*[\[=]|class\s+\w+\s*\[|(async\s+)?def\s+\w+\s*\[|except\s*\*)|.*\bt[\"']"
    )
    return re.match(later, fault.text) is not None


def _with_imports(path: str, workdir: str) -> Iterator[tuple[str, PluginFacts]]:
    """The file, and what it imports from beside it or from where the job runs, all once."""
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
    """The files of a dotted module below a folder."""
    place = os.path.join(folder, *module.split("."))
    for file in (f"{place}.py", os.path.join(place, "__init__.py")):
        if os.path.isfile(file):
            yield file


def imported(job: Job, workdir: str) -> Iterator[Problem]:
    """Modules that a plugin imports at once, where its environment lies on this machine."""
    for argument in ("external_plugins", "custom_register_path"):
        for given in map(str, job.many(argument)):
            path = resolve(given, workdir)
            facts = facts_of(path) if path.endswith(".py") else None
            if facts and facts.relative:
                message = (
                    f"{given}:{facts.relative}: a plugin is no package: `from .` imports nothing"
                )
                hint = "import the module by its name; the plugin's folder is searched first"
                yield job.refuse(argument, message, hint)
            for file, found in _with_imports(path, workdir) if _is_known(job) else ():
                yield from _lacking(job, argument, file, path, given, found, workdir)


def _is_known(job: Job) -> bool:
    """Whether what can be imported is seen from here: no setup line and no variable may change it."""
    env = job.spec.environment
    changing = ("pip", "conda", "mamba", "uv ", "PYTHONPATH", "source ", ". ", "install")
    lines = "\n".join(env.setup)
    return bool(job.folders) and not (
        env.modules or "PYTHONPATH" in env.env or any(word in lines for word in changing)
    )


def _lacking(
    job: Job, argument: str, file: str, path: str, given: str, facts: PluginFacts, workdir: str
) -> Iterator[Problem]:
    from prl_submit.inputs.packages import installed  # not for plugins of ms-swift and Python alone

    tops = {name.partition(".")[0] for name in facts.imports} - {"swift", "torch"}
    if not tops:
        return
    if any(_has_links(folder) for folder in job.folders):
        return
    have = installed(sorted({workdir, os.path.dirname(path), *job.folders}))
    for name in sorted(top for top in tops if top not in have):
        where = given if file == path else f"{os.path.relpath(file, workdir)}, imported by {given},"
        message = f"{where} imports {name}, which neither its folder nor the environment has"
        hint = f"pip install what brings {name}, or put {name}.py beside the plugin"
        yield job.refuse(argument, message, hint)


#: Files that name no other folder.
_HARMLESS_PTH = ("distutils-precedence.pth", "_virtualenv.pth", "-nspkg.pth")


def _has_links(folder: str) -> bool:
    """Whether packages elsewhere, as of `pip install -e`, are imported through this folder."""
    try:
        names = os.listdir(folder)
    except OSError:
        return True
    return any(
        name.endswith((".pth", ".egg-link")) and not name.endswith(_HARMLESS_PTH) for name in names
    )


def needs(job: Job, workdir: str) -> Iterator[tuple[str, list[str], str]]:
    """Each chosen reward with the columns that it needs, and the place that says so."""
    files = [(given, facts_of(resolve(given, workdir))) for given in _given(job)]
    for name in map(str, job.many("reward_funcs")):
        naming = [(given, facts) for given, facts in files if not facts or name in facts.registered]
        if not naming and name in _ANSWERS:
            yield name, [_ANSWERS[name]], "ms-swift"
        elif len(naming) == 1 and (facts := naming[0][1]) and (reward := facts.rewards.get(name)):
            yield name, reward.needs, f"{naming[0][0]}:{reward.line}"
        elif not naming and name not in REWARDS:
            file, facts = _own_rewards(job)
            if reward := facts.rewards.get(name):
                yield name, reward.needs, f"{file}:{reward.line}"


def calls(job: Job, workdir: str) -> Iterator[Problem]:
    """ms-swift 4.6.0 grpo_trainer `_prepare_rewards`, rl_core `compute_rewards_per_func`.

    It makes a reward with `args` (since 4.0), and calls it with the completions and every column.
    """
    for given in _given(job):
        facts = facts_of(resolve(given, workdir))
        for name in map(str, job.many("reward_funcs")):
            reward = facts.rewards.get(name) if facts else None
            if reward is None or job.rlhf_type != "grpo":
                continue
            if not reward.takes_all:
                message = f"{given}:{reward.line}: __call__ of {name} takes no **kwargs; ms-swift hands it every column"
                yield job.refuse(
                    "reward_funcs", message, "def __call__(self, completions, **kwargs)"
                )
            if reward.init_line and job.since("4.0"):
                message = f"{given}:{reward.init_line}: __init__ of {name} takes no args, which ms-swift 4 gives it"
                yield job.refuse("reward_funcs", message, "def __init__(self, args=None, **kwargs)")


def missing(
    job: Job,
    argument: str,
    name: str,
    names: list[str],
    builtin: tuple[str, ...],
    files: list[Plugin],
) -> Problem:
    """The problem of a name that nothing provides."""
    where = " or ".join(plugin.given for plugin in files)
    message = f"{name} is not known to ms-swift"
    message += f", and {where} does not provide it" if files else ", and no plugin is given"
    from prl_submit.spec.suggest import closest

    near = closest(name, [*names, *builtin], 0.6)
    hint = f"did you mean {near}?" if near else f"known: {', '.join([*names, *builtin])}"
    return job.refuse(argument, message, hint)


def _unknown(job: Job) -> Iterator[tuple[str, str]]:
    """Names that ms-swift does not bring. What the pure rules refuse already is left to them."""
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
    names = job.many("external_plugins") + job.many("custom_register_path")
    return [str(name) for name in names]


def read_plugins(job: Job, workdir: str) -> list[Plugin] | None:
    """All plugin files; None where one is not there to be read, which others tell."""
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
    """Whether the text plainly registers `name`: by key, or in an `update` or `setdefault`.

    Looked for without a regular expression, which takes half a millisecond for a plugin of 20 kB.
    """
    end = 0
    while (start := source.find(registry, end)) >= 0:
        end = start + len(registry)
        after = source[end : end + 2000].lstrip()
        if after[:1] == "[" and _is_quoted(after[1:].partition("]")[0], name):
            return True
        call, _, inside = after.partition("(")
        if call.strip() in (".update", ".setdefault"):
            for part in inside.partition(")")[0].split(","):
                if part.partition("=")[0].strip() == name:
                    return True
                if _is_quoted(part.partition(":")[0].strip().lstrip("{"), name):
                    return True
    return False


def _is_quoted(text: str, name: str) -> bool:
    return text.strip() in (f"'{name}'", f'"{name}"')


def registers_datasets(job: Job, workdir: str) -> bool:
    """Whether a plugin may give data files columns of its own."""
    files = read_plugins(job, workdir)
    return files is None or any("register_dataset" in plugin.source for plugin in files)
