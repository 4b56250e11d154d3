"""The `#SBATCH` lines of a plan, the words of a container, and what must not reach sbatch."""

from __future__ import annotations

import msgspec
import pytest

from prl_submit.backends.slurm.batch_script import container_words, render_script
from prl_submit.backends.slurm.directives import directives
from prl_submit.backends.slurm.inherited_environment import job_environ
from prl_submit.backends.slurm.option_names import OWNED
from prl_submit.launch import quote
from tests.support.plans import planned, slurm_plan

TOKEN = "0123456789abcdef"


def options(text: str = "") -> dict[str, str | None]:
    """Its options, each given once."""
    pairs = directives(slurm_plan(text), TOKEN)
    assert len({name for name, _ in pairs}) == len(pairs), "an option twice"
    return dict(pairs)


def lines(script: str) -> list[str]:
    """The options of a script, as sbatch sees them."""
    return [
        line.removeprefix("#SBATCH ") for line in script.splitlines() if line.startswith("#SBATCH")
    ]


# ------------------------------------------------------------------ options
def test_a_bare_job() -> None:
    assert directives(slurm_plan(), TOKEN) == [
        ("job-name", "x"),
        ("comment", f"prl-submit:{TOKEN}"),
        ("chdir", "/cwd"),
        ("output", "/cwd/output/vNN-YYYYMMDD-HHMMSS/logs/slurm.log"),
        ("open-mode", "append"),
        ("nodes", "1"),
        ("ntasks-per-node", "1"),
        ("gres", "gpu:1"),
        ("signal", "B:USR1@120"),
        ("no-requeue", None),
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("resources: {nodes: 2, nproc_per_node: 8}", {"nodes": "2", "gres": "gpu:8"}),
        # One task per node: launch.sh starts the processes.
        ("resources: {nproc_per_node: 8}", {"ntasks-per-node": "1"}),
        ("resources: {nproc_per_node: 4, gpu_type: h100}", {"gres": "gpu:h100:4"}),
        ("resources: {nproc_per_node: 4, cpus_per_proc: 3}", {"cpus-per-task": "12"}),
        ("resources: {memory: 1.5T}", {"mem": "1536G"}),
        ("resources: {time_limit: 36h}", {"time": "1-12:00:00"}),
        ("resources: {time_limit: 90m}", {"time": "01:30:00"}),
        ("restarts: {max: 3, grace: 90s}", {"requeue": None, "signal": "B:USR1@90"}),
        ("slurm: {extra: {gres: 'nvme:1'}}", {"gres": "gpu:1,nvme:1"}),
        ("slurm: {extra: {gres: ['nvme:1', 'tmp:2']}}", {"gres": "gpu:1,nvme:1,tmp:2"}),
        ("slurm: {extra: {comment: ours}}", {"comment": f"ours prl-submit:{TOKEN}"}),
        ("slurm: {extra: {hold: true}}", {"hold": None}),
        ("slurm: {extra: {nice: 0}}", {"nice": "0"}),
        ("slurm: {extra: {nice: 1}}", {"nice": "1"}),
        ("slurm: {extra: {wckey: ''}}", {"wckey": ""}),
        ("slurm: {extra: {licenses: [a, 'b:2']}}", {"licenses": "a,b:2"}),
        ("slurm: {mail_user: me@x}", {"mail-user": "me@x", "mail-type": "END,FAIL,REQUEUE"}),
        ("slurm: {mail_user: me@x, extra: {mail-type: NONE}}", {"mail-type": "NONE"}),
        ("slurm: {partition: 'gpu,low'}", {"partition": "gpu,low"}),
    ],
)
def test_keys_and_their_options(text: str, expected: dict[str, str | None]) -> None:
    given = options(text)
    assert {name: given.get(name, "(absent)") for name in expected} == expected


@pytest.mark.parametrize(
    ("text", "absent"),
    [
        ("", ["cpus-per-task", "mem", "time", "mail-type", "partition", "requeue"]),
        ("restarts: {max: 1}", ["no-requeue"]),
        ("resources: {accelerator: cpu, nproc_per_node: 4}", ["gres"]),
        ("slurm: {extra: {hold: false, nice: null}}", ["hold", "nice"]),
        ("slurm: {extra: {mail-type: false}, mail_user: me}", []),
    ],
)
def test_what_is_not_asked_for(text: str, absent: list[str]) -> None:
    assert not set(absent) & set(options(text))


def test_a_cpu_job_may_have_its_own_resources() -> None:
    text = "resources: {accelerator: cpu}\nslurm: {extra: {gres: 'nvme:1'}}"
    assert options(text)["gres"] == "nvme:1"


def test_each_key_of_the_section_has_its_option() -> None:
    keys = {key.partition(".")[2]: name for name, key in OWNED.items() if key.startswith("slurm.")}
    text = ", ".join(f"{key}: v-{key}" for key in keys)
    given = options(f"slurm: {{{text}}}")
    assert {name: given[name] for name in keys.values()} == {n: f"v-{k}" for k, n in keys.items()}


# ------------------------------------------------------------------ quoting
@pytest.mark.parametrize(
    ("text", "quoted"),
    [
        ("a", "a"),
        ("user@host:/p,a=b+c%d.e-f", "user@host:/p,a=b+c%d.e-f"),
        ("", '""'),
        ("a b", '"a b"'),
        ("$(id) `id` $HOME", '"$(id) `id` $HOME"'),  # sbatch expands no variables
        ("it's", '"it\'s"'),
        ('say "x"', r'"say \"x\""'),
        ("a\\b", r'"a\\b"'),
        ('\\"', r'"\\\""'),
        ("a#b", '"a#b"'),
        ("中文", '"中文"'),
    ],
)
def test_quoting(text: str, quoted: str) -> None:
    """A value of an #SBATCH line is quoted as sbatch reads it."""
    assert quote.sbatch(text) == quoted


@pytest.mark.parametrize("char", ["\n", "\r", "\0"])
def test_what_no_sbatch_line_can_contain(char: str) -> None:
    with pytest.raises(ValueError, match="cannot hold"):
        quote.sbatch(f"a{char}b")


@pytest.mark.parametrize(
    ("run", "pattern"),
    [
        ("/a/v1", "/a/v1/logs/slurm.log"),
        ("/a/50%/v1", "/a/50%%/v1/logs/slurm.log"),
        ("/a/%j/v1", "/a/%%j/v1/logs/slurm.log"),
        ("/a\\b/v1", "/dev/null"),
        ("/a\\b/%j/v1", "/dev/null"),
    ],
)
def test_the_path_of_the_log(run: str, pattern: str) -> None:
    """Versions of Slurm read a backslash in --output differently, so the script opens such a log itself."""
    plan = msgspec.structs.replace(slurm_plan(), run_dir=run)
    assert dict(directives(plan, TOKEN))["output"] == pattern
    opens = '>>"$run_dir/logs/slurm.log"' in render_script(plan, TOKEN, None)
    assert opens is (pattern == "/dev/null")


def test_the_script_has_the_options_quoted() -> None:
    plan = slurm_plan("workdir: /w/a b\nslurm: {extra: {comment: 'say \"x\"'}}")
    found = lines(render_script(plan, TOKEN, None))
    assert '--chdir="/w/a b"' in found
    assert f'--comment="say \\"x\\" prl-submit:{TOKEN}"' in found
    assert "--no-requeue" in found
    assert len(found) == len(directives(plan, TOKEN))


def test_sbatch_stops_reading_only_behind_the_options() -> None:
    """sbatch stops at the first line that is neither empty nor a comment."""
    text = render_script(slurm_plan("resources: {nodes: 2}"), TOKEN, None).splitlines()
    last = max(i for i, line in enumerate(text) if line.startswith("#SBATCH"))
    assert all(line.startswith("#") or not line for line in text[: last + 1])


def test_the_file_name_of_a_spec_cannot_become_a_line() -> None:
    text = "a\n#SBATCH --uid=0\nrm -rf /"
    evil = msgspec.structs.replace(slurm_plan(), spec_file=text)
    script = render_script(evil, TOKEN, None)
    assert not [line for line in lines(script) if "uid" in line]
    assert not [line for line in script.splitlines() if line.startswith("rm -rf")]


def test_rendering_is_repeatable() -> None:
    plan = slurm_plan()
    assert render_script(plan, TOKEN, None) == render_script(plan, TOKEN, None)


# ------------------------------------------------------------------ the submitter's variables
#: sbatch's and srun's input variables of the manuals of 22.05 and 24.11, and what came up since.
INPUT_VARIABLES = """
SBATCH_ACCTG_FREQ SBATCH_ARRAY_INX SBATCH_BATCH SBATCH_BURST_BUFFER SBATCH_CLUSTERS SBATCH_CLUSTER_CONSTRAINT
SBATCH_COMMENT SBATCH_CONTAINER SBATCH_CORE_SPEC SBATCH_CPUS_PER_GPU SBATCH_CPU_FREQ_REQ SBATCH_DEBUG
SBATCH_DELAY_BOOT SBATCH_DISTRIBUTION SBATCH_ERROR SBATCH_EXCLUSIVE SBATCH_EXPORT SBATCH_GET_USER_ENV
SBATCH_GPUS SBATCH_GPUS_PER_NODE SBATCH_GPUS_PER_SOCKET SBATCH_GPUS_PER_TASK SBATCH_GPU_BIND SBATCH_GPU_FREQ
SBATCH_GRES SBATCH_GRES_FLAGS SBATCH_HINT SBATCH_IGNORE_PBS SBATCH_INPUT SBATCH_JOB_NAME SBATCH_MEM_BIND
SBATCH_MEM_PER_CPU SBATCH_MEM_PER_GPU SBATCH_MEM_PER_NODE SBATCH_NETWORK SBATCH_NO_KILL SBATCH_NO_REQUEUE
SBATCH_OPEN_MODE SBATCH_OUTPUT SBATCH_OVERCOMMIT SBATCH_POWER SBATCH_PROFILE SBATCH_REQUEUE SBATCH_REQ_SWITCH
SBATCH_SEGMENT_SIZE SBATCH_SIGNAL SBATCH_SPREAD_JOB SBATCH_THREADS_PER_CORE SBATCH_THREAD_SPEC SBATCH_TIMELIMIT
SBATCH_TRES_BIND SBATCH_TRES_PER_TASK SBATCH_USE_MIN_NODES SBATCH_WAIT SBATCH_WAIT_ALL_NODES
SLURM_ACCOUNT SLURM_ACCTG_FREQ SLURM_BCAST SLURM_CLUSTERS SLURM_COMPRESS SLURM_CONF_OUT SLURM_CONSTRAINT
SLURM_CPUS_PER_GPU SLURM_CPUS_PER_TASK SLURM_CPU_BIND SLURM_CPU_FREQ_REQ SLURM_DEBUG SLURM_DEPENDENCY
SLURM_DISTRIBUTION SLURM_EPILOG SLURM_EXACT SLURM_EXCLUSIVE SLURM_EXIT_ERROR SLURM_EXIT_IMMEDIATE
SLURM_EXPORT_ENV SLURM_GPUS SLURM_GPUS_PER_NODE SLURM_GPUS_PER_TASK SLURM_GRES SLURM_HINT SLURM_HOSTFILE
SLURM_IMMEDIATE SLURM_JOB_ID SLURM_JOB_NAME SLURM_JOB_NUM_NODES SLURM_KILL_BAD_EXIT SLURM_LABELIO
SLURM_MEM_PER_CPU SLURM_MPI_TYPE SLURM_NNODES SLURM_NTASKS SLURM_NTASKS_PER_GPU SLURM_NTASKS_PER_NODE
SLURM_OVERLAP SLURM_PARTITION SLURM_PROLOG SLURM_QOS SLURM_RESERVATION SLURM_RESTART_COUNT SLURM_SIGNAL
SLURM_STDOUTMODE SLURM_STEP_ID SLURM_TASK_EPILOG SLURM_TASK_PROLOG SLURM_TEST_EXEC SLURM_THREADS_PER_CORE
SLURM_TIMELIMIT SLURM_TIME_FORMAT SLURM_TRES_BIND SLURM_TRES_PER_TASK SLURM_UMASK SLURM_WAIT SLURM_WCKEY
SRUN_CONTAINER SRUN_CPUS_PER_TASK SRUN_ERROR SRUN_EXPORT_ENV SRUN_INPUT SRUN_OUTPUT SRUN_SEGMENT_SIZE
SLURMD_NODENAME PMI_FANOUT PMI_TIME SALLOC_PARTITION SCANCEL_STATE SQUEUE_STATES _SLURM_SPANK_OPTION_x_y
BASH_ENV ENV SHELLOPTS BASHOPTS POSIXLY_CORRECT PRL_SUBMIT_TOKEN PRL_SUBMIT_RESTARTS NODE_RANK MASTER_ADDR
"""
KEPT = """
SLURM_CONF SLURM_CONF_SERVER SLURM_JWT PATH HOME HF_TOKEN WANDB_MODE PRL_PREFLIGHT OMP_NUM_THREADS CONDA_PREFIX
SBATCH_ACCOUNT SBATCH_PARTITION SBATCH_QOS SBATCH_RESERVATION SBATCH_CONSTRAINT SBATCH_WCKEY MODULESHOME
"""


def test_what_the_job_inherits() -> None:
    environ = dict.fromkeys(f"{INPUT_VARIABLES} {KEPT}".split(), "1")
    assert set(job_environ(slurm_plan(), environ)) == set(KEPT.split())


@pytest.mark.parametrize(
    ("text", "hidden", "kept"),
    [
        ("", "", "SBATCH_ACCOUNT SBATCH_PARTITION SBATCH_QOS"),
        ("slurm: {partition: p, account: a}", "SBATCH_PARTITION SBATCH_ACCOUNT", "SBATCH_QOS"),
        ("slurm: {qos: q, reservation: r}", "SBATCH_QOS SBATCH_RESERVATION", "SBATCH_ACCOUNT"),
        ("slurm: {constraint: c}", "SBATCH_CONSTRAINT", "SBATCH_RESERVATION"),
        ("slurm: {extra: {wckey: w}}", "SBATCH_WCKEY", "SBATCH_CONSTRAINT"),
    ],
)
def test_the_spec_overrides_a_users_defaults(text: str, hidden: str, kept: str) -> None:
    environ = dict.fromkeys(f"{hidden} {kept}".split(), "1")
    assert set(job_environ(slurm_plan(text), environ)) == set(kept.split())


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("", ""),
        ("resources: {memory: 1G}", "SLURM_MEM_PER_NODE"),
        ("slurm: {extra: {mem-per-cpu: 1G}}", "SLURM_MEM_PER_CPU"),
        ("slurm: {extra: {hint: nomultithread, distribution: block}}", "SLURM_HINT SLURM_DISTRIBUTION"),
    ],
)  # fmt: skip
def test_srun_gets_only_what_this_jobs_sbatch_sets_for_it(text: str, kept: str) -> None:
    """Other variables may come from an allocation in which a user typed `sbatch job.sbatch`."""
    script = render_script(slurm_plan(text), TOKEN, None)
    (removal,) = [line for line in script.splitlines() if 'unset "$name"' in line]
    assert removal.strip() == 'SLURM_* | SRUN_* | PMI_*) unset "$name" ;;'
    for name in ("SLURM_MEM_PER_NODE", "SLURM_MEM_PER_CPU", "SLURM_HINT", "SLURM_DISTRIBUTION"):
        assert (name in script) is (name in kept.split()), name


@pytest.mark.parametrize("memory", ["0", "all"])
def test_all_the_memory_of_a_node(memory: str) -> None:
    plan = slurm_plan(f"resources: {{memory: {memory}}}")
    assert dict(directives(plan, TOKEN))["mem"] == "0"


# ------------------------------------------------------------------ containers
IMAGE = "environment: {{secrets: [HF_TOKEN], container: {{image: '{image}', runtime: {runtime}{more}}}}}"


def words(runtime: str, head: str = "", **more: str) -> tuple[list[str], list[str]]:
    """The words before and behind srun's own."""
    image = more.pop("image", "a.sqsh")
    mounts = f", mounts: {more['mounts']}" if more else ""
    text = IMAGE.format(image=image, runtime=runtime, more=mounts)
    return container_words(slurm_plan(f"{head}{text}"))


def test_no_container() -> None:
    """A job without a container has no words for one."""
    assert container_words(slurm_plan()) == ([], [])


def test_pyxis() -> None:
    """With pyxis the container is srun's options."""
    head = "output: /scratch/out\n"
    outer, inner = words("pyxis", head, mounts="['/data:/data:ro', '/x y:/z']")
    assert outer == [
        "--container-image=a.sqsh",
        "--container-mounts=/cwd:/cwd,/scratch/out:/scratch/out,/data:/data:ro,/x y:/z",
        "--container-env=HF_TOKEN",
    ]
    assert inner == []


def test_apptainer() -> None:
    """With apptainer the container is a command around launch.sh."""
    outer, inner = words("apptainer", image="docker://a:b", mounts="['/data:/data:ro']")
    assert outer == []
    assert inner == [
        *("apptainer", "exec", "--nv", "--bind", "/cwd:/cwd"),
        *("--bind", "/data:/data:ro", "docker://a:b"),
    ]


@pytest.mark.parametrize(
    ("output", "mounts"),
    [
        ("runs", "/cwd:/cwd"),
        ("/cwd-2", "/cwd:/cwd,/cwd-2:/cwd-2"),  # beside it, not inside
        (".", "/cwd:/cwd"),
    ],
)
def test_nothing_is_mounted_twice(output: str, mounts: str) -> None:
    outer, _ = words("pyxis", f"output: {output}\n")
    assert outer[1] == f"--container-mounts={mounts}"


def test_the_rendezvous_overrides_the_images_variables() -> None:
    outer, _ = words("pyxis", "resources: {nodes: 2}\n")
    assert outer[2] == "--container-env=MASTER_ADDR,MASTER_PORT,HF_TOKEN"


def test_a_container_without_any_variable_to_keep() -> None:
    plan = slurm_plan("environment: {container: {image: i}}")
    assert container_words(plan)[0] == ["--container-image=i", "--container-mounts=/cwd:/cwd"]


def test_no_gpu_for_a_container_of_a_cpu_job() -> None:
    _, inner = words("apptainer", "resources: {accelerator: cpu}\n")
    assert inner[:3] == ["apptainer", "exec", "--bind"]


@pytest.mark.parametrize(
    ("runtime", "expected"),
    [("pyxis", "'--container-image=a$(id) b'"), ("apptainer", "'a$(id) b'")],
)
def test_an_image_is_one_word_of_the_script(runtime: str, expected: str) -> None:
    text = IMAGE.format(image="a$(id) b", runtime=runtime, more="")
    script = render_script(slurm_plan(text), TOKEN, None)
    assert expected in script
    assert script.count("$(id)") == 1


def test_a_secrets_value_is_nowhere() -> None:
    text = IMAGE.format(image="a", runtime="pyxis", more="")
    made = planned(f"name: x\nbackend: slurm\n{text}", environ={"HF_TOKEN": "hf_hidden"})
    assert "hf_hidden" not in render_script(made.plan, TOKEN, None)
