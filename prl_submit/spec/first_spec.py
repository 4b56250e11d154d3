"""The first job spec of a newcomer: the given values, with a comment on each line that needs an explanation."""

from __future__ import annotations

from typing import NamedTuple

from msgspec import Struct

from prl_submit.spec.write import scalar

#: The column where comments begin. A comment that would end behind _WIDTH is written on a line above the value.
_COLUMN = 36
_WIDTH = 80

#: Values of a cluster that prl-submit cannot know. The user must replace them.
PLACEHOLDER_IMAGE = "registry.example/ms-swift:4.6"
PLACEHOLDER_CLAIM = "work"


class FirstJob(Struct, frozen=True, kw_only=True):
    """The values given to `prl-submit init`.

    `plugins` are Python files that register some of the `rewards`. `columns` are the columns of each row that
    the rewards read. `nproc_per_node` None: the platform's own number.
    """

    name: str
    model: str
    data: tuple[str, ...]
    rewards: tuple[str, ...]
    plugins: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    nproc_per_node: int | None = 1
    backend: str | None = None
    #: Only for a model whose type and template ms-swift cannot tell. `other_types` and `other_templates`:
    #: what else ms-swift may take such a model for.
    model_type: str | None = None
    other_types: tuple[str, ...] = ()
    template: str | None = None
    other_templates: tuple[str, ...] = ()


class SpecLine(NamedTuple):
    """A line of the spec and its comment, which may be empty."""

    text: str
    comment: str = ""


def first_spec(job: FirstJob) -> str:
    """The spec's text. It reads back as exactly the values of `job`."""
    lines = [
        SpecLine("# A GRPO job. `prl-submit check FILE` says what is wrong with it,"),
        SpecLine("# `prl-submit FILE` starts it. docs/reference.md explains every key."),
        SpecLine(f"name: {_text(job.name)}", "of the run, as `prl-submit list` shows it"),
        *_place(job),
        *_swift(job),
    ]
    return "".join(_commented(line) for line in lines)


def _place(job: FirstJob) -> list[SpecLine]:
    """The lines about where the job runs and what it asks for there."""
    lines = []
    if job.backend is not None:
        lines.append(
            SpecLine(f"backend: {job.backend}", "where the job runs; --backend overrides it")
        )
    if job.backend == "kubernetes":
        lines.append(SpecLine("workdir: /data", "in the pods; the paths under swift: start here"))
    else:
        path = "the container's" if job.backend == "platform" else "your"
        comment = f"or {{venv: DIR}}; default: {path} PATH"
        lines.append(SpecLine("# environment: {conda: NAME}", comment))
    if job.backend == "slurm":
        lines.append(
            SpecLine("# slurm: {partition: NAME, account: NAME}", "if your site wants them")
        )
    if job.backend == "platform":
        lines.append(SpecLine("output: output", "must be on a disk that all nodes share"))
    if job.nproc_per_node is None:
        comment = "default: what the platform gives"
        lines.append(SpecLine("# resources: {nodes: 2, nproc_per_node: 8}", comment))
    else:
        processes = f"  nproc_per_node: {job.nproc_per_node}"
        lines += [
            SpecLine("resources:"),
            SpecLine(processes, "processes on the node, one GPU each"),
        ]
    if job.backend == "slurm":
        lines.append(SpecLine("  cpus_per_proc: 8"))
        lines.append(SpecLine('  time_limit: "12:00:00"', "then Slurm ends the job"))
    return [*lines, *_KUBERNETES] if job.backend == "kubernetes" else lines


_KUBERNETES = (
    SpecLine("kubernetes:"),
    SpecLine(f"  image: {PLACEHOLDER_IMAGE}", "put your image here; it needs torch and ms-swift"),
    SpecLine(
        f"  volumes: [{{pvc: {PLACEHOLDER_CLAIM}, mountPath: /data}}]",
        "put your volume claim here; the data lies on it",
    ),
    SpecLine("  output_mount: /data/output", "in the pods; runs and checkpoints go here"),
)


def _swift(job: FirstJob) -> list[SpecLine]:
    """The lines about the training: ms-swift's arguments."""
    lines = [
        SpecLine("swift:", "arguments of ms-swift, by its own names"),
        SpecLine("  rlhf_type: grpo"),
        SpecLine(f"  model: {_text(job.model)}", "a name on the model hub, or a folder"),
        *_typed(job),
        SpecLine(f"  dataset: {_texts(job.data)}", f"JSON lines such as {_example(job.columns)}"),
    ]
    if job.plugins:
        plugins = _texts(job.plugins)
        lines.append(SpecLine(f"  external_plugins: {plugins}", "Python that registers rewards"))
    lines.append(SpecLine(f"  reward_funcs: {_texts(job.rewards)}", _about(job)))
    if "soft_overlong" in job.rewards:
        comment = "soft_overlong punishes what is longer than max_completion_length minus this"
        lines.append(SpecLine("  soft_cache_length: 128", comment))
    return [
        *lines,
        SpecLine("  num_generations: 4", "completions of each prompt, compared"),
        SpecLine(
            "  per_device_train_batch_size: 4",
            "completions on each GPU at a time; less if memory runs out",
        ),
        SpecLine("  max_completion_length: 512", "tokens"),
        SpecLine("  num_train_epochs: 1"),
        SpecLine("  eval_strategy: no", "or steps, with a val_dataset: [FILE]"),
        SpecLine("  # use_vllm: true", "faster, if vLLM is installed"),
    ]


def _typed(job: FirstJob) -> list[SpecLine]:
    """The lines that say what ms-swift cannot tell of the model."""
    lines = []
    if job.model_type is not None:
        comment = "ms-swift's word for the kind of model" + _or(job.other_types)
        lines.append(SpecLine(f"  model_type: {_text(job.model_type)}", comment))
    if job.template is not None:
        comment = "how messages become text" + _or(job.other_templates)
        lines.append(SpecLine(f"  template: {_text(job.template)}", comment))
    return lines


def _or(others: tuple[str, ...]) -> str:
    """`; or a, b or c`, at most six of them."""
    shown = ", ".join(others[:6]) + (", …" if len(others) > 6 else "")
    return f"; it may also be {shown}" if others else ""


def _about(job: FirstJob) -> str:
    if len(job.rewards) > 1:
        return "the training learns their sum; reward_weights: [1.0, …] weighs them"
    return (
        "registered by the plugin" if job.plugins else "built into ms-swift; a plugin has your own"
    )


def _example(columns: tuple[str, ...]) -> str:
    """A row of data that these rewards can read."""
    shown = [
        column for column in columns if column.isprintable()
    ]  # a comment must stay on one line
    answers = "".join(f', "{column}": "…"' for column in shown)
    return '{"messages": [{"role": "user", "content": "…"}]' + answers + "}"


def _commented(line: SpecLine) -> str:
    if not line.comment:
        return f"{line.text}\n"
    if len(line.text) < _COLUMN - 1 and _COLUMN + len(f"# {line.comment}") <= _WIDTH:
        return f"{line.text:<{_COLUMN}}# {line.comment}\n"
    indent = " " * (len(line.text) - len(line.text.lstrip(" ")))
    return f"{indent}# {line.comment}\n{line.text}\n"


def _text(value: str) -> str:
    return scalar(value, texts=True)


def _texts(values: tuple[str, ...]) -> str:
    return f"[{', '.join(map(_text, values))}]"
