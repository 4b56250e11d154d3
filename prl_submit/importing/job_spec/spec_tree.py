"""A followed script -> the sections of a job spec; what no spec can say is reported."""

from __future__ import annotations

import posixpath
from collections.abc import Callable

from msgspec import Struct

from prl_submit.importing.bash.scope import Default, Field, Gap, Unknown, Variable, known_texts
from prl_submit.importing.findings import Findings
from prl_submit.importing.interpreter.follower import Followed
from prl_submit.importing.job_spec.arguments import Passed, read_arguments, value_of
from prl_submit.importing.job_spec.found_platform import FoundPlatform
from prl_submit.importing.job_spec.resources import FoundResources
from prl_submit.importing.job_spec.sbatch import Header, from_srun
from prl_submit.importing.training_command import LAUNCHERS_OWN, RESOURCES, Start
from prl_submit.rules import CREDENTIALS, looks_secret
from prl_submit.spec.scalars import parse_bool
from prl_submit.spec.write import Tree
from prl_submit.swift.renames import REPLACED
from prl_submit.swift.table import Table

#: The arguments of the ms-swift that will run a job, given what its spec says of where it runs.
ChooseTable = Callable[[dict[str, Tree]], Table]


class _Maker:
    """Makes one spec's tree."""

    def __init__(
        self,
        followed: Followed,
        start: Start,
        header: Header,
        choose: ChooseTable,
        swift_version: str | None,
        findings: Findings,
    ) -> None:
        self.followed = followed
        self.start = start
        if not header.is_there and start.is_srun:
            header = from_srun(start.srun, findings) or header
        self.header = header
        self.findings = findings
        self.swift_version = swift_version
        self.where = self._where()
        self.table = choose(self.where)
        self.arguments = read_arguments(start.arguments, self.table, findings)
        is_cpu = self._says_yes("use_cpu")
        on_platform = bool(followed.scope.from_platform)
        self.platform = FoundPlatform(followed, start, findings) if on_platform else None
        self.resources = FoundResources(
            followed, start, header, findings, is_cpu=is_cpu, on_platform=on_platform
        )
        self.output: str | None = None

    def make(self, name: str) -> dict[str, Tree]:
        """All sections, in the order of a spec."""
        resources = self.resources.section()
        swift = self._swift()
        sections: dict[str, Tree] = {"name": name, **self.where}
        environment = sections.pop("environment", None)
        if self.output is not None:
            sections["output"] = self.output
        sections |= {
            "environment": environment,
            "resources": resources,
            "swift": swift,
            "slurm": self._slurm(),
            "local": self.resources.local(),
            "platform": self.platform.section() if self.platform is not None else {},
        }
        return {key: section for key, section in sections.items() if section}

    def _where(self) -> dict[str, Tree]:
        """Backend, working directory and environment: what says which ms-swift will run."""
        found: dict[str, Tree] = {}
        if self.header.is_there:
            found["backend"] = "slurm"
        elif self.followed.scope.from_platform:
            found["backend"] = "platform"
        if (folder := self._workdir()) != ".":
            found["workdir"] = folder
        if environment := self._environment():
            found["environment"] = environment
        return found

    # --- where it runs, and in which environment ----------------------------------------------

    def _workdir(self) -> str:
        folder = self.followed.scope.folder
        if self.header.folder is None:
            return folder
        return posixpath.normpath(posixpath.join(self.header.folder, folder))

    def _environment(self) -> dict[str, Tree]:  # noqa: C901  # one case for each key of the section
        active = self.followed.activated
        found: dict[str, Tree] = {}
        conda = self._conda()
        if conda is not None and active.conda_root and self.start.conda is None:
            found["conda"] = {"name": conda, "root": active.conda_root}
        elif conda is not None:
            found["conda"] = conda
        elif active.venv is not None:
            found["venv"] = self._venv(active.venv)
        elif self.start.venv is not None:
            found["venv"] = self.start.venv
        if self.swift_version is not None:
            found["swift_version"] = self.swift_version
        if active.modules:
            found["modules"] = list(active.modules)
        if self.followed.setup:
            found["setup"] = list(self.followed.setup)
        plain, secrets = self._variables()
        if plain:
            found["env"] = plain
        if secrets:
            found["secrets"] = secrets
        return found

    def _conda(self) -> str | None:
        given = self.start.conda
        if given is None:
            return self.followed.activated.conda
        if isinstance(given, Gap):
            self.findings.unknown(given.line, "conda run", given.unknown)
            return None
        return given.text

    def _venv(self, path: str) -> str:
        """The environment's path from the working directory."""
        folder = self.followed.scope.folder
        if posixpath.isabs(path) and not path.startswith(f"{folder}/"):
            return posixpath.normpath(path)
        if posixpath.isabs(path) != posixpath.isabs(folder):
            message = f"{path} is relative to where one types, and the script has left that folder"
            self.findings.error(self.start.line, message, "write the path from the root")
            return path
        return posixpath.relpath(path, folder)

    def _variables(self) -> tuple[dict[str, Tree], list[Tree]]:
        """The variables of the training with known values, and the names of those that look secret."""
        plain: dict[str, Tree] = {}
        secrets: list[Tree] = []
        for name, variable in self.followed.environment.items():
            if name in LAUNCHERS_OWN:
                self.findings.note(variable.line, f"{name} is set by prl-submit's launcher")
            elif name in RESOURCES | self.followed.set_in_setup or isinstance(
                variable.value, Unknown
            ):
                continue
            elif isinstance(variable.value, list):
                continue  # bash exports no arrays
            elif _is_passed_on(name, variable):
                message = f"{name} is left out: a job takes it from where you submit, if it is set"
                self.findings.note(variable.line, message)
            elif looks_secret(name, variable.value):
                secrets.append(name)
                hint = "set it where you submit; a spec names secrets, it never holds them"
                self.findings.note(
                    variable.line, f"{name} looks secret: its value is left out", hint
                )
            else:
                plain[name] = variable.value
                use = f"--set environment.env.{name}=VALUE"
                self.findings.defaults(variable.defaults, name, use, variable.line)
        return plain, secrets

    def _slurm(self) -> dict[str, Tree]:
        found: dict[str, Tree] = dict(self.header.slurm)
        if self.header.extra:
            extra: dict[str, Tree] = {k: v or "true" for k, v in self.header.extra.items()}
            found["extra"] = extra
        return found

    # --- ms-swift's arguments -----------------------------------------------------------------

    def _says_yes(self, name: str) -> bool:
        passed = self.arguments.get(name)
        words = [] if passed is None else known_texts(passed.words)
        return any(map(parse_bool, words))

    def _swift(self) -> dict[str, Tree]:
        found: dict[str, Tree] = {}
        for name, passed in self.arguments.items():
            if name == "output_dir":
                self._output(passed)
            elif name == "add_version":
                message = "--add_version is left out: prl-submit numbers the run directories"
                self.findings.note(passed.line, message)
            elif name == "num_infer_workers" and name not in self.table:
                self._infer_workers(passed, found)
            elif name in CREDENTIALS:
                hint = "environment.secrets: [NAME] takes it from where you submit"
                self.findings.error(passed.line, f"--{name} is a credential", hint)
            elif (words := value_of(passed, self.findings)) is not None:
                found[name] = self._value(name, words)
        return found | dict.fromkeys(self._not_passed(found))

    def _value(self, name: str, words: list[Field]) -> Tree:
        expected = f"PRL_{name.upper()}"
        use = f"{expected} or --set swift.{name}=VALUE"
        defaults = dict.fromkeys(default for word in words for default in word.defaults)
        mixed = len({word.defaults for word in words}) > 1
        known = [Default(d.name, d.line, d.whole and not mixed) for d in defaults]
        self.findings.defaults(tuple(known), expected, use, words[0].line)
        return words[0].text if len(words) == 1 else [word.text for word in words]

    def _output(self, passed: Passed) -> None:
        word = passed.words[0]
        if isinstance(word, Gap):
            message = f"--output_dir is left out: {word.unknown.why}"
            hint = "`output:` says where prl-submit makes its numbered run directories"
            self.findings.note(word.line, message, hint)
            return
        self.output = word.text
        message = f"--output_dir is `output: {word.text}`, in which each run gets a directory"
        self.findings.note(word.line, message)
        use = "PRL_OUTPUT_ROOT or --output-root"
        self.findings.defaults(word.defaults, "PRL_OUTPUT_ROOT", use, word.line)

    def _infer_workers(self, passed: Passed, found: dict[str, Tree]) -> None:
        """In ms-swift before 3.6, one worker per process meant what `vllm_mode: colocate` means now."""
        words = value_of(passed, self.findings)
        if words is not None and "nproc_per_node" in self.resources.unstated:
            message = "--num_infer_workers is gone, and only the platform knows NPROC_PER_NODE"
            self.findings.error(passed.line, message, f"today: {REPLACED['num_infer_workers']}")
        if words is None or not self.resources.processes:
            return
        if not self._says_yes("use_vllm"):
            why = "without use_vllm nothing reads it"
            self.findings.note(passed.line, f"--num_infer_workers is left out: {why}")
        elif words[0].text == str(self.resources.processes):
            message = "--num_infer_workers, one for each process, is vllm_mode colocate today"
            self.findings.note(passed.line, message)
            if "vllm_mode" not in self.arguments:
                found["vllm_mode"] = "colocate"
        else:
            message = f"--num_infer_workers {words[0].text} is gone, and not NPROC_PER_NODE ({self.resources.processes})"
            self.findings.error(passed.line, message, f"today: {REPLACED['num_infer_workers']}")

    def _not_passed(self, found: dict[str, Tree]) -> list[str]:
        """The arguments that prl-submit would pass by default and the script does not: they become null."""
        ours = ["dataloader_num_workers"]
        if "use_vllm" in found:
            ours += ["vllm_mode", "vllm_gpu_memory_utilization"]
        if self._says_yes("use_cpu"):
            ours.append("ddp_backend")
        missing = [name for name in ours if name not in found and name in self.table]
        if "vllm_mode" in missing and self._says_yes("use_vllm"):
            line = self.arguments["use_vllm"].line
            message = "--use_vllm without vllm_mode, which ms-swift wants today"
            self.findings.note(line, message, "vllm_mode: colocate, or server, in place of null")
        return missing


def _is_passed_on(name: str, variable: Variable) -> bool:
    """True if a variable is a secret that need not be set: `export HF_TOKEN=${HF_TOKEN:-}`."""
    is_own = any(default.name == name for default in variable.defaults)
    return variable.value == "" and is_own and looks_secret(name, variable.value)


class MadeTree(Struct, frozen=True, kw_only=True):
    """The sections of a spec, empty where no training was found; and comments for them."""

    sections: dict[str, Tree] = {}
    #: Of a section, the comment that stands before it.
    comments: dict[str, str] = {}
    #: True if the script takes its nodes, or the node's rank, from a platform's variables.
    on_platform: bool = False


def make_tree(
    followed: Followed,
    header: Header,
    name: str,
    choose: ChooseTable,
    swift_version: str | None,
    findings: Findings,
) -> MadeTree:
    """The sections of the spec."""
    if followed.start is None:
        return MadeTree()
    maker = _Maker(followed, followed.start, header, choose, swift_version, findings)
    sections = maker.make(name)
    comments = {}
    if unstated := maker.resources.unstated:
        keys = " and ".join(f"resources.{key}" for key in sorted(set(unstated)))
        comments["backend"] = f"{keys}: left out, because the platform says how many"
    on_platform = maker.platform is not None and maker.platform.is_used
    return MadeTree(sections=sections, comments=comments, on_platform=on_platform)
