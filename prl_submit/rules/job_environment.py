"""Rules on the environment of a job: Python, variables, credentials, and the machine that it runs on."""

from __future__ import annotations

from collections.abc import Iterator

from prl_submit.errors import Problem
from prl_submit.rules.job import Job
from prl_submit.spec.nodes import leaves

#: ms-swift 4.6.0's arguments whose value is a secret.
CREDENTIALS = ("hub_token", "swanlab_token", "swanlab_secret")
_SHELL_SIGNS = frozenset("$~`")
_NO_SECRETS = frozenset(["empty", "none", "null", "dummy", "fake", "not-needed", "true", "false"])
_SECRET_WORDS = ("TOKEN", "KEY", "SECRET", "PASSWORD", "PASSWD", "CREDENTIALS", "APIKEY")


def environment(job: Job) -> Iterator[Problem]:
    """A job has one Python environment, and `env` holds no credential and no name of prl-submit's own."""
    env = job.spec.environment
    if env.conda and env.venv:
        yield job.problem(
            "environment.venv",
            "conda is set too",
            "keep one of the two; `conda: null` removes a value of a base or a profile",
        )
    for name, value in env.env.items():
        if looks_secret(name, value):
            yield job.problem(
                f"environment.env.{name}",
                "looks like a credential, and env is written into files",
                f"`secrets: [{name}]` takes the value from your environment and writes only the name",
            )
        if name.startswith(("PRL_SUBMIT_", "prl_")):  # launch.sh's own names
            yield job.problem(
                f"environment.env.{name}",
                "is a name that prl-submit sets for each job",
                f"remove {name}",
            )
    for name in sorted(set(env.secrets) & set(env.env)):
        hint = "keep one of the two"
        yield job.problem(f"environment.env.{name}", "is listed under secrets too", hint)


def credentials(job: Job) -> Iterator[Problem]:
    """No argument may be a secret, because arguments are written into the run's files and shown by `ps`."""
    for name in CREDENTIALS:
        if job.get(name, None) is not None:
            yield job.refuse(
                name,
                "is a credential, and arguments are written into files",
                f"remove {name}; `environment.secrets: [HF_TOKEN]` (or MODELSCOPE_API_TOKEN, "
                "SWANLAB_API_KEY) takes the value from your environment and writes only the name",
            )


def one_machine(job: Job) -> Iterator[Problem]:
    """A backend that gives a job one machine gets no job of several nodes."""
    if not job.traits.several_nodes and job.spec.resources.nodes > 1:
        yield job.problem(
            "resources.nodes",
            f"the {job.backend} backend has one node, found {job.spec.resources.nodes}",
            "use --backend slurm, kubernetes or platform",
        )


def search_path(job: Job) -> Iterator[Problem]:
    """PATH in environment.env must hold the system's commands, and replaces the environment's own PATH.

    launch.sh sets environment.env after it has activated the Python environment, and then runs date, df
    and awk.
    """
    env = job.spec.environment
    path = env.env.get("PATH")
    if path is None or _SHELL_SIGNS & set(path):
        return
    hint = "environment.setup is bash: ['export PATH=\"/opt/mine/bin:$PATH\"']"
    key = "environment.env.PATH"
    if not {"/bin", "/usr/bin"} & {part.rstrip("/") for part in path.split(":")}:
        message = "has neither /usr/bin nor /bin, so launch.sh would find no command"
        yield job.problem(key, message, hint)
    elif env.conda or env.venv or env.modules:
        message = "replaces what conda, venv or modules put on PATH, so their torchrun is not found"
        yield job.problem(key, message, hint, "warning")


def literal(job: Job) -> Iterator[Problem]:
    """Values that look like shell code; see the module `literal`."""
    if not any(_SHELL_SIGNS & set(str(node.value)) for _, node in leaves(job.tree)):
        return iter(())
    from prl_submit.rules.literal import literal

    return literal(job)


def looks_secret(name: str, value: str) -> bool:
    """True if a variable's name ends like that of a credential, or its value is a URL with a password.

    A short number is no credential, and neither is a word such as `EMPTY`, which vLLM's clients send in
    place of one.
    """
    if value.lower() in _NO_SECRETS or (value.isdecimal() and len(value) <= 6):
        return False
    address = value.partition("://")[2].partition("/")[0]
    return name.upper().rpartition("_")[2] in _SECRET_WORDS or (":" in address and "@" in address)


RULES = (environment, search_path, literal, credentials, one_machine)
