"""`check`'s warning: from a spec and what is on this machine to a problem at a line."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from prl_submit.cli.cmd_explain import show_memory
from prl_submit.memory import memory_problems
from prl_submit.memory.find import find_config, find_gpu, find_inputs
from prl_submit.memory.warning import UNCOUNTED, find_forecast
from prl_submit.planning.plan import Planned
from prl_submit.probe.node_facts import Damaged, Facts, Gpu, NodeFacts
from tests.support.plans import planned

SPEC = """\
name: mr
resources:
  nproc_per_node: 4
  gpu_type: h100
swift:
  rlhf_type: grpo
  model: Qwen/Qwen2.5-7B-Instruct
  torch_dtype: bfloat16
  dataset: [a.jsonl]
  tuner_type: full
  per_device_train_batch_size: 4
  num_generations: 2
  max_length: 512
  max_completion_length: 768
  use_vllm: true
"""
LLAMA = {
    "model_type": "llama",
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "vocab_size": 100,
}


def facts(*gpus: Gpu) -> Facts:
    """One node with these GPUs."""
    node = NodeFacts(node="n1", gpus=list(gpus))
    return Facts(
        backend="local", cluster="n1", partition="-", probed_at="2026-11-22T21:00:00", nodes=[node]
    )


def warnings(job: Planned, known: Facts | None = None) -> list[str]:
    """Messages, each with its key and line."""
    found = memory_problems(job, known, {"HOME": "/nowhere"})
    assert all(problem.severity == "warning" and problem.hint for problem in found)
    return [f"{problem.key}:{problem.line}: {problem.message}" for problem in found]


def test_warns_at_the_largest_part_that_was_written() -> None:
    """vLLM's share is a default here, so the line is the next argument's that matters."""
    (text,) = warnings(planned(SPEC))
    assert text.startswith("swift.vllm_gpu_memory_utilization:")
    assert (
        "will not fit: needs about 118.6 GiB, allowing 11.0 for error, of each h100's 79.6 GiB"
        in text
    )


def test_every_proposal_silences_the_warning() -> None:
    """Each alternative of the hint, written into the spec, makes `check` silent and stays valid."""
    (problem,) = memory_problems(planned(SPEC), None, {})
    assert problem.hint is not None
    alternatives = problem.hint.removeprefix("these fit: ").split("; or ")
    assert len(alternatives) == 3
    for alternative in alternatives:
        changes = alternative.replace(" with ", ", ").split(", ")
        sets = [f"swift.{change.replace(' ', '=')}" for change in changes]
        changed = planned(SPEC, sets=sets)
        assert [item.message for item in changed.problems if item.severity == "error"] == []
        assert warnings(changed) == []


@pytest.mark.parametrize(
    "sets",
    [
        ["swift.tuner_type=lora"],
        ["resources.gpu_type=null"],
        ["resources.gpu_type=mi300x"],
        ["swift.model=who/knows"],
        ["swift.model=null"],
        ["swift.num_generations=3"],  # an error: the numbers mean nothing yet
        ["swift.tuner_type=adalora"],
    ],
)
def test_silent(sets: list[str]) -> None:
    """Where it fits, and where nothing can be said."""
    assert warnings(planned(SPEC, sets=sets)) == []


def test_cpu_jobs_are_not_looked_at() -> None:
    """They have no GPU."""
    cpu = ["resources.accelerator=cpu", "swift.use_vllm=false", "swift.vllm_mode=null"]
    job = planned(SPEC, sets=cpu)
    assert warnings(job) == []
    assert find_inputs(job, {}) == "the job uses no GPU"


def test_says_why_there_is_no_forecast() -> None:
    """For `explain --memory`."""
    reasons = {
        "swift.model=null": "no model is set",
        "swift.model=who/knows": "the sizes of who/knows are not known",
        "swift.tuner_type=adalora": "tuner_type adalora is not among",
        "resources.gpu_type=null": "the GPU's memory is not known",
    }
    for change, reason in reasons.items():
        found = find_forecast(planned(SPEC, sets=[change]), None, {})
        assert isinstance(found, str)
        assert found.startswith(reason)
    odd = planned(SPEC, sets=["swift.tuner_type=lora", "swift.target_modules=[c_attn]"])
    assert find_forecast(odd, None, {}) == UNCOUNTED


def test_ambiguous_types_count_as_their_largest() -> None:
    """An a100 has 40 or 80 GiB: no false alarm."""
    (text,) = warnings(planned(SPEC, sets=["resources.gpu_type=a100"]))
    assert "of the largest a100's 80.0 GiB" in text


def test_the_probe_knows_better() -> None:
    """What nvidia-smi gave, for the GPUs of the type asked for."""
    big = Gpu(name="NVIDIA H100 80GB HBM3", memory_mib=200_000)
    other = Gpu(name="NVIDIA A100", memory_mib=900_000)
    job = planned(SPEC)
    assert find_gpu(job, facts(big, other)) == (200_000,)
    assert warnings(job, facts(big, other)) == []
    assert find_gpu(job, facts(Gpu())) == (81559,)
    assert find_gpu(job, Damaged("f", "is damaged")) == (81559,)
    untyped = planned(SPEC, sets=["resources.gpu_type=null"])
    assert find_gpu(untyped, facts(big, other)) == (200_000, 900_000)
    small = facts(Gpu(memory_mib=40_960))
    assert "of each GPU's 40.0 GiB" in warnings(untyped, small)[0]


def test_vllm_that_cannot_start() -> None:
    """All else fits; the line is the share's."""
    sets = ["swift.tuner_type=lora", "swift.vllm_gpu_memory_utilization=0.1"]
    (text,) = warnings(planned(SPEC, sets=sets))
    assert text.startswith("swift.vllm_gpu_memory_utilization:None: vLLM's share of each h100's")


def write(folder: Path, **more: object) -> Path:
    """A config.json."""
    folder.mkdir(parents=True)
    (folder / "config.json").write_bytes(msgspec.json.encode({**LLAMA, **more}))
    return folder


def test_config_of_a_folder(tmp_path: Path) -> None:
    """Absolute or below the working directory; a folder goes before the table."""
    write(tmp_path / "models" / "mine")
    for name in ("models/mine", str(tmp_path / "models" / "mine")):
        found = find_config(name, str(tmp_path), {})
        assert found is not None
        assert found.hidden_size == 64
    write(tmp_path / "Qwen" / "Qwen2.5-7B")
    found = find_config("Qwen/Qwen2.5-7B", str(tmp_path), {})
    assert found is not None
    assert found.hidden_size == 64


def test_quantised_checkpoints_are_unknown(tmp_path: Path) -> None:
    """AWQ's and GPTQ's weights are not what the config's sizes say."""
    write(tmp_path / "awq", quantization_config={"bits": 4})
    assert find_config("./awq", str(tmp_path), {}) is None


def test_config_of_the_hubs_caches(tmp_path: Path) -> None:
    """huggingface_hub's and modelscope's, with their variables; the dot of a name is written ___."""
    home = {"HOME": str(tmp_path)}
    write(tmp_path / ".cache/huggingface/hub/models--me--mine/snapshots/abc")
    write(tmp_path / ".cache/modelscope/hub/models/me/other___5")
    write(tmp_path / "hf/hub/models--me--third/snapshots/abc")
    write(tmp_path / "hub/models--me--fourth/snapshots/abc")
    write(tmp_path / "ms/me/fifth")
    cases = {
        "me/mine": home,
        "me/other.5": home,
        "me/third": {**home, "HF_HOME": str(tmp_path / "hf")},
        "me/fourth": {**home, "HF_HUB_CACHE": str(tmp_path / "hub")},
        "me/fifth": {**home, "MODELSCOPE_CACHE": str(tmp_path / "ms")},
    }
    for name, environ in cases.items():
        assert find_config(name, "/work", environ) is not None, name
    assert find_config("me/third", "/work", home) is None
    assert find_config("a\0b", "/work", home) is None


def test_the_table(
    capsysbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`explain --memory`: parts in rows, moments in columns, the sum against the GPU; or why not."""
    monkeypatch.setenv("XDG_STATE_HOME", "/nowhere")
    show_memory(planned(SPEC), as_json=False)
    lines = capsysbinary.readouterr().out.decode().splitlines()
    assert lines[0].split("  ")[0] == "GIB PER RANK"
    assert lines[0].endswith("OPTIMIZER STEP")
    assert any(line.startswith("optimizer states") for line in lines)
    assert "7,615,616,512 parameters, all of them trained" in lines
    peak = (
        "Peak: 118.6 GiB (± 11.0) of each h100's 79.6 GiB, in the backward pass. It will not fit."
    )
    assert lines[-2] == peak
    assert lines[-1].startswith("Accuracy: ")
    show_memory(planned(SPEC), as_json=True)
    found = msgspec.json.decode(capsysbinary.readouterr().out)
    assert found["reason"] is None
    assert found["memory"]["parameters"] == 7_615_616_512
    assert found["memory"]["gpu_bytes"] == 81559 * 2**20
    unknown = planned(SPEC, sets=["resources.gpu_type=null"])
    show_memory(unknown, as_json=True)
    assert msgspec.json.decode(capsysbinary.readouterr().out)["memory"] is None
    show_memory(unknown, as_json=False)
    out = capsysbinary.readouterr()
    assert out.out == b""
    assert out.err.startswith(b"no forecast: the GPU's memory is not known")


def test_deepspeed_file_is_read(tmp_path: Path) -> None:
    """Relative to the working directory."""
    (tmp_path / "mine.json").write_text('{"zero_optimization": {"stage": 3}}')
    job = planned(SPEC, sets=[f"workdir={tmp_path}", "swift.deepspeed=mine.json"])
    inputs = find_inputs(job, {})
    assert not isinstance(inputs, str)
    assert inputs.raw == b'{"zero_optimization": {"stage": 3}}'
    found = find_forecast(job, None, {})
    assert not isinstance(found, str)
    assert found.verdict.moments[0].parts["weights"] < 2**32
