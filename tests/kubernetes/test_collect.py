"""Files of a run on a volume that only the pods have."""

from __future__ import annotations

import re
import signal
import time
from pathlib import Path

from tests.conftest import eventually
from tests.kubernetes.conftest import KubernetesWorld
from tests.kubernetes.proxy import slow_line

FAKE = """
step 1 2; checkpoint 1 2
mkdir -p "$run/深/b c"; printf '\\0\\xff\\n' >"$run/深/b c/数据"; : >"$run/empty"
head -c 30000000 /dev/urandom >"$run/checkpoint-1/model.safetensors"
step 2 2
"""


def files(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_everything_then_nothing_again(kube_apart: KubernetesWorld) -> None:
    run, status = kube_apart.run_to_end(FAKE)
    assert status["state"] == "SUCCEEDED"
    there = kube_apart.volume / run.name
    done = kube_apart.prl("collect", run)
    assert done.code == 0, done.err
    assert done.out == f"{run}\n"
    here = files(run)
    for name, content in files(there).items():
        if not re.match(r"logs/\.|\.node", name):
            assert here[name] == content, name
    assert kube_apart.status(run)["step"] == 2
    again = kube_apart.prl("collect", run)
    assert "0 files, 0.0 MiB brought" in again.err
    assert [pod for pod in kube_apart.pods() if "collect" in pod["metadata"]["name"]] == []


def test_over_a_slow_line(kube_apart: KubernetesWorld) -> None:
    """The server's last message comes when the next file already has the number of the closed socket."""
    fake = 'for i in {1..3}; do head -c 40000000 /dev/urandom >"$run/file$i"; done; step 1 1'
    run, _ = kube_apart.run_to_end(fake)
    there = kube_apart.volume / run.name
    with slow_line(kube_apart.kubeconfig, 0.002):
        done = kube_apart.prl("collect", run, "--only", "file*")
    assert done.code == 0, done.err
    assert "goes on from byte" not in done.err
    for i in range(1, 4):
        assert (run / f"file{i}").read_bytes() == (there / f"file{i}").read_bytes()


def test_only_some(kube_apart: KubernetesWorld) -> None:
    """--only copies the named files and patterns alone."""
    run, _ = kube_apart.run_to_end(FAKE)
    done = kube_apart.prl("collect", run, "--only", "logging.jsonl, checkpoint-*")
    assert done.code == 0, done.err
    assert (run / "checkpoint-1/model.safetensors").stat().st_size == 30_000_000
    assert (run / "logging.jsonl").exists()
    assert not (run / "empty").exists()


def test_pattern_that_matches_nothing(kube_apart: KubernetesWorld) -> None:
    run, _ = kube_apart.run_to_end(FAKE)
    done = kube_apart.prl("collect", run, "--only", "checkpont-*")
    assert done.code == 2
    assert "no file of the run matches checkpont-*" in done.err
    assert "checkpoint-1" in done.err


def test_while_it_runs(kube_apart: KubernetesWorld) -> None:
    run = kube_apart.submit("for i in {1..500}; do step $i 500; sleep 0.02; done")
    kube_apart.wait_for(run, "RUNNING")
    done = kube_apart.prl("collect", run, "--only", "logging.jsonl")
    assert done.code == 0, done.err
    assert "helper" not in done.err
    first = (run / "logging.jsonl").read_bytes()
    assert kube_apart.prl("collect", run, "--only", "logging.jsonl").code == 0
    assert (run / "logging.jsonl").read_bytes().startswith(first)


def test_an_interrupted_collect_is_continued(kube_apart: KubernetesWorld) -> None:
    run, _ = kube_apart.run_to_end(FAKE.replace("30000000", "400000000"))
    part = run / "checkpoint-1" / ".model.safetensors.part"
    process = kube_apart.start("collect", run, "--only", "checkpoint-*")
    eventually(lambda: part.exists() and part.stat().st_size > 1_000_000, 30)
    process.send_signal(signal.SIGINT)
    done = kube_apart.finish(process)
    assert done.code == 130
    assert "the same command goes on where it stopped" in done.err
    size = part.stat().st_size
    assert 0 < size < 400_000_000
    eventually(lambda: not [p for p in kube_apart.pods() if "collect" in p["metadata"]["name"]])
    # The copy is continued, not repeated: it is still the same file.
    node = part.stat().st_ino
    done = kube_apart.prl("collect", run, "--only", "checkpoint-*")
    assert done.code == 0, done.err
    whole = run / "checkpoint-1" / "model.safetensors"
    assert whole.stat().st_ino == node
    there = kube_apart.volume / run.name / "checkpoint-1" / "model.safetensors"
    assert whole.read_bytes() == there.read_bytes()


def test_connection_breaks(kube_apart: KubernetesWorld) -> None:
    """A broken connection ends collect with an error; the next call goes on where it stopped."""
    run, _ = kube_apart.run_to_end(FAKE.replace("30000000", "300000000"))
    part = run / "checkpoint-1" / ".model.safetensors.part"
    process = kube_apart.start("collect", run, "--only", "checkpoint-*")
    eventually(lambda: part.exists() and part.stat().st_size > 1_000_000, 30)
    kube_apart.cluster.stop_api()
    time.sleep(1)
    kube_apart.cluster.start_api()
    done = kube_apart.finish(process, 120)
    assert done.code == 0, done.err
    assert "goes on from byte" in done.err
    there = kube_apart.volume / run.name / "checkpoint-1" / "model.safetensors"
    assert (run / "checkpoint-1" / "model.safetensors").read_bytes() == there.read_bytes()


def test_part_of_another_file(kube_apart: KubernetesWorld) -> None:
    run, _ = kube_apart.run_to_end(FAKE)
    (run / "checkpoint-1").mkdir()
    (run / "checkpoint-1" / ".model.safetensors.part").write_bytes(b"something else")
    done = kube_apart.prl("collect", run)
    assert done.code == 0, done.err
    there = kube_apart.volume / run.name / "checkpoint-1" / "model.safetensors"
    assert (run / "checkpoint-1" / "model.safetensors").read_bytes() == there.read_bytes()


def test_resume_from_a_collected_checkpoint(kube_apart: KubernetesWorld) -> None:
    run, status = kube_apart.run_to_end("step 1 2; checkpoint 1 2; exit 3")
    assert status["state"] == "FAILED"
    refused = kube_apart.prl("resume", run)
    assert refused.code != 0
    assert f"hint: prl-submit collect {run} --only 'checkpoint-*', then resume" in refused.err
    assert kube_apart.prl("collect", run, "--only", "checkpoint-*").code == 0
    done = kube_apart.prl("resume", run)
    assert done.code == 0, done.err
    kube_apart.wait_for(run, "FAILED")
    words = (kube_apart.volume / run.name / "argv").read_bytes().split(b"\0")
    assert words[words.index(b"--resume_from_checkpoint") + 1] == str(run / "checkpoint-1").encode()


def test_shared_volume_needs_no_collecting(kube: KubernetesWorld) -> None:
    run, _ = kube.run_to_end()
    done = kube.prl("collect", run)
    assert done.code == 0
    assert "there is nothing to collect" in done.err
