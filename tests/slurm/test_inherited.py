"""No variable of the submitter's shell changes a job: neither those of Slurm's programs nor those of bash."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.slurm.conftest import SlurmWorld
from tools.clusters.processes import wait_until

Eventually = Callable[..., None]
#: Input variables of srun (srun(1), and `strings` of 22.05 and 24.11) with values that srun would obey or refuse.
OF_SRUN = {
    "SLURM_ACCOUNT": "nobody",
    "SLURM_ACCTG_FREQ": "bad",
    "SLURM_BCAST": "/nowhere/x",
    "SLURM_BURST_BUFFER": "x",
    "SLURM_COMPRESS": "x",
    "SLURM_CONSTRAINT": "nothing",
    "SLURM_CORE_SPEC": "99",
    "SLURM_CPUS_PER_GPU": "2",
    "SLURM_CPUS_PER_TASK": "9",
    "SLURM_CPU_BIND": "map_cpu:99",
    "SLURM_CPU_FREQ_REQ": "x",
    "SLURM_DELAY_BOOT": "x",
    "SLURM_DEPENDENCY": "afterok:1",
    "SLURM_DISTRIBUTION": "arbitrary",
    "SLURM_EPILOG": "/bin/false",
    "SLURM_EXACT": "1",
    "SLURM_EXCLUSIVE": "1",
    "SLURM_EXPORT_ENV": "NONE",
    "SLURM_GPUS": "2",
    "SLURM_GPUS_PER_NODE": "1",
    "SLURM_GPUS_PER_SOCKET": "1",
    "SLURM_GPUS_PER_TASK": "1",
    "SLURM_GPU_BIND": "single:1",
    "SLURM_GRES": "gpu:1",
    "SLURM_GRES_FLAGS": "enforce-binding",
    "SLURM_HINT": "multithread",
    "SLURM_IMMEDIATE": "1",
    "SLURM_JOB_NUM_NODES": "3",
    "SLURM_LABELIO": "1",
    "SLURM_MEM_BIND": "x",
    "SLURM_MEM_PER_CPU": "900000",
    "SLURM_MEM_PER_GPU": "900000",
    "SLURM_MEM_PER_NODE": "900000",
    "SLURM_MPI_TYPE": "nonsense",
    "SLURM_NNODES": "3",
    "SLURM_NPROCS": "7",
    "SLURM_NTASKS": "7",
    "SLURM_NTASKS_PER_CORE": "1",
    "SLURM_NTASKS_PER_GPU": "1",
    "SLURM_NTASKS_PER_NODE": "7",
    "SLURM_OVERLAP": "1",
    "SLURM_PARTITION": "nowhere",
    "SLURM_PROLOG": "/bin/false",
    "SLURM_QOS": "nothing",
    "SLURM_RESERVATION": "nothing",
    "SLURM_RESTART_COUNT": "3",
    "SLURM_STDOUTMODE": "/nowhere/x",
    "SLURM_STEP_ID": "7",
    "SLURM_TASK_EPILOG": "/bin/false",
    "SLURM_TASK_PROLOG": "/bin/false",
    "SLURM_TEST_EXEC": "1",
    "SLURM_THREADS_PER_CORE": "2",
    "SLURM_TIMELIMIT": "0:01",
    "SLURM_TRES_PER_TASK": "cpu=3",
    "SLURM_WAIT": "1",
    "SLURM_WORKING_DIR": "/nowhere",
    "SRUN_CPUS_PER_TASK": "9",
    "SRUN_ERROR": "/nowhere/x",
    "SRUN_EXPORT_ENV": "NONE",
    "SRUN_OUTPUT": "/nowhere/x",
    "PMI_TIME": "x",
}
#: What changes the answers or exit codes of sbatch, squeue, sinfo, scancel.
OF_OTHERS = {
    "SLURM_CLUSTERS": "elsewhere",
    "SLURM_HOSTFILE": "/nowhere",
    "SLURM_EXIT_ERROR": "0",
    "SLURM_EXIT_IMMEDIATE": "0",
    "SLURM_TIME_FORMAT": "relative",
    "SLURM_BITSTR_LEN": "1",
    "SLURM_DEBUG_FLAGS": "x",
    "SBATCH_ARRAY_INX": "0-9",
    "SBATCH_CLUSTERS": "elsewhere",
    "SBATCH_CPUS_PER_GPU": "2",
    "SBATCH_ERROR": "/nowhere",
    "SBATCH_EXPORT": "NONE",
    "SBATCH_GPUS": "2",
    "SBATCH_GPUS_PER_NODE": "2",
    "SBATCH_GPUS_PER_TASK": "2",
    "SBATCH_GRES": "gpu:9",
    "SBATCH_HINT": "nonsense",
    "SBATCH_MEM_PER_CPU": "900000",
    "SBATCH_NO_REQUEUE": "1",
    "SBATCH_OUTPUT": "/nowhere/x",
    "SBATCH_SIGNAL": "9@9",
    "SBATCH_TIMELIMIT": "0:01",
    "SBATCH_WAIT": "1",
    "SQUEUE_STATES": "FAILED",
    "SQUEUE_FORMAT": "%i",
    "SQUEUE_PARTITION": "nowhere",
    "SQUEUE_USERS": "nobody",
    "SINFO_PARTITION": "nowhere",
    "SINFO_FORMAT": "%n",
    "SCANCEL_STATE": "PENDING",
    "SCANCEL_NAME": "other",
    "SACCT_FORMAT": "JobID",
}
#: Of bash, and what a shell with options of its own would do to a script that relies on the usual ones.
OF_BASH = {
    "SHELLOPTS": "braceexpand:errexit:hashall:interactive-comments:noclobber:noglob:nounset",
    "BASHOPTS": "failglob:nullglob",
    "POSIXLY_CORRECT": "1",
    "GLOBIGNORE": "*",
    "BASH_FUNC_srun%%": "() { exit 9; }",
    "BASH_FUNC_date%%": "() { exit 9; }",
    "BASH_FUNC_flock%%": "() { exit 9; }",
}
TELL = 'env | cut -d= -f1 >"$run/environ"; step 1 1'


def bash_env(world: SlurmWorld) -> dict[str, str]:
    """A file that BASH_ENV names, which bash reads before every script."""
    file = world.root / "bash_env"
    file.write_text("set -euC; trap 'exit 9' EXIT; date() { exit 9; }\n")
    return {"BASH_ENV": str(file), "ENV": str(file)}


def exit_of(run: Path) -> dict[str, object]:
    found: dict[str, object] = json.loads((run / "exit.json").read_text())
    return found


def test_no_variable_steers_a_submission(any_slurm: SlurmWorld) -> None:
    """With all variables at once, each of prl-submit's questions gets the same answer as without them."""
    shell = (
        OF_SRUN
        | OF_OTHERS
        | bash_env(any_slurm)
        | {n: v for n, v in OF_BASH.items() if "%%" not in n}
    )
    spec = any_slurm.spec(restarts__max=1)
    checked = any_slurm.prl("check", spec, "--online", **shell)
    assert checked.code == 0, checked.err
    done = any_slurm.prl(spec, "--wait", FAKE=TELL, **shell)
    assert done.code == 0, done.err
    run = Path(done.out.strip())
    assert (exit_of(run)["state"], exit_of(run)["restarts"]) == ("SUCCEEDED", 0)
    inside = set((run / "environ").read_text().split())
    assert not inside & OF_OTHERS.keys()
    assert not inside & {"SLURM_TIMELIMIT", "SLURM_GRES", "SRUN_OUTPUT", "BASH_ENV", "SHELLOPTS"}
    assert (
        any_slurm.prl("status", "latest", "--json", **shell).json["runs"][0]["state"] == "SUCCEEDED"
    )


def test_cancel_with_a_shell_that_would_filter_it(
    slurm: SlurmWorld, eventually: Eventually
) -> None:
    slurm.submit("step 1 9; sleep 300")
    eventually(lambda: slurm.statuses()["fake"]["step"] == 1, timeout=30)
    assert slurm.prl("cancel", "latest", "--wait", **OF_SRUN, **OF_OTHERS).code == 0
    assert slurm.cluster.jobs() == []


def by_hand(world: SlurmWorld, run: Path, environ: dict[str, str]) -> dict[str, object]:
    """Type `sbatch job.sbatch` in such a shell, and return how the job ended."""
    (run / "exit.json").unlink(missing_ok=True)
    done = subprocess.run(
        ["sbatch", "--parsable", run / "job.sbatch"],
        cwd="/",
        env=world.environ | environ | {"FAKE": "step 1 1"},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done
    wait_until((run / "exit.json").exists, f"the end of {run}", 60)
    return exit_of(run)


@pytest.mark.parametrize("shell", [OF_SRUN, OF_BASH, None])
def test_sbatch_typed_in_a_shell_with_variables(
    slurm: SlurmWorld, shell: dict[str, str] | None
) -> None:
    run, _ = slurm.run_to_end(restarts__max=1)
    ended = by_hand(slurm, run, bash_env(slurm) if shell is None else shell)
    assert (ended["state"], ended["restarts"]) == ("SUCCEEDED", 0), ended


def test_sbatch_typed_in_an_allocation(slurm: SlurmWorld) -> None:
    """Inside of nine kinds of allocations, whose variables describe the allocation and not this job."""
    run, _ = slurm.run_to_end(resources__memory="60M", resources__cpus_per_proc=2)
    bare, _ = slurm.run_to_end(name="bare")
    kinds = """
        --gpus=1, --gpus-per-node=1, --gpus-per-task=1 --ntasks=1, --gres=gpu:2, --cpus-per-task=3,
        --mem-per-cpu=100, --mem=100, --ntasks-per-node=4, --exclusive --nodes=2
    """
    for kind in kinds.split(","):
        for inner in (run, bare):
            (inner / "exit.json").unlink(missing_ok=True)
            script = f"FAKE='step 1 1' sbatch {inner}/job.sbatch"
            output = f"--output={slurm.root}/outer"
            slurm.cluster.run("sbatch", output, *kind.split(), "--wrap", script)
            wait_until((inner / "exit.json").exists, f"the end of {inner} in {kind}", 60)
            assert exit_of(inner)["state"] == "SUCCEEDED", (kind, exit_of(inner))


def test_a_job_started_again_counts(slurm: SlurmWorld, eventually: Eventually) -> None:
    """launch.sh uses Slurm's count of restarts, not the variable of an outer job."""
    fake = "[[ $PRL_SUBMIT_RESTARTS == 0 ]] || { step 2 2; exit 0; }; step 1 2; checkpoint 1 2; sleep 300"
    run = slurm.submit(fake, restarts__max=1)
    eventually(lambda: (run / "checkpoint-1" / "rng_state.pth").exists(), timeout=30)
    job = json.loads((run / "run.json").read_text())["job_id"]
    slurm.cluster.run("scontrol", "requeue", job)
    assert slurm.prl("wait", "latest").code == 0
    assert exit_of(run)["restarts"] == 1
    assert by_hand(slurm, run, {"SLURM_RESTART_COUNT": "7"})["restarts"] == 0


def test_the_limits_of_a_login_node(slurm: SlurmWorld) -> None:
    """Slurm gives the job the soft limits of the shell (PropagateResourceLimits); two seconds of CPU time end it."""
    limits = "ulimit -S -t 2 -f 2000000 -d 4000000"
    busy = "python -c 'import time\nwhile time.process_time() < 3.5: pass' && step 1 1"
    prl = f"{sys.executable} -m prl_submit"
    told = 'ulimit -S -t >"$run/limit"; ulimit -S -n >"$run/files"; '
    command = f"{limits} -n 777; {prl} {slurm.spec()} --wait"
    done = slurm.finish(slurm.popen(["bash", "-c", command], FAKE=told + busy), timeout=60)
    assert done.code == 0, done.err
    run = Path(done.out.strip())
    assert (run / "limit").read_text() != "2\n"
    assert (run / "files").read_text() == "777\n"  # what kills nobody is the user's own


def test_limits_that_the_spec_asks_for(slurm: SlurmWorld) -> None:
    spec = slurm.spec(slurm__extra={"propagate": "CPU"})
    command = f"ulimit -S -t 500; {sys.executable} -m prl_submit {spec} --wait"
    done = slurm.finish(
        slurm.popen(["bash", "-c", command], FAKE='ulimit -S -t >"$run/limit"; step 1 1')
    )
    assert done.code == 0, done.err
    assert (Path(done.out.strip()) / "limit").read_text() == "500\n"
