"""What the real ms-swift says of many configurations: its own parsing and `__post_init__`.

A program, started once (ms-swift takes 12-15 s to import); it reads questions as JSON lines from
stdin, `{"argv": [...], "world": 4}`, and answers each with a JSON line, `{"error": null}` where the
arguments are accepted, else `{"error": the message, "where": "parser" or "arguments"}`. With
`"run": true` an accepted one is also run to its end, in this process alone: `"where": "run"`.

What is not real here, because this machine has no GPUs and no other ranks; nothing of it judges:

- The process group: PyTorch's own `fake` backend of the wanted size, so that WORLD_SIZE and the
  trainer's `world_size` are those of a job of so many ranks.
- `--use_cpu true` is added: without it the check for bf16 asks the GPU.
- One process that maps rows is this one: a third of a second less for each training.
- Before ms-swift 4.0 each process counts one GPU, as prl-submit asks for; nothing is run there.
- DeepSpeed and Liger are importable names without content, vLLM's client answers without a server
  where vllm_mode is server: their presence on a node is not what is judged.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import importlib.util
import io
import json
import os
import sys
import tempfile
import time
import traceback
import warnings
from pathlib import Path
from typing import Any

#: No GPU, no hub, and one thread for each process.
ALONE = {
    "CUDA_VISIBLE_DEVICES": "",
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "HF_DATASETS_OFFLINE": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "OMP_NUM_THREADS": "1",
}
OFFLINE = {
    **ALONE,
    "MASTER_ADDR": "127.0.0.1",
    "MASTER_PORT": "29500",
    "LOG_LEVEL": "ERROR",
    "TRANSFORMERS_VERBOSITY": "error",
}


def make_empty_package(folder: Path, name: str, version: str) -> None:
    """Make a package that can be imported, has a version, and is empty."""
    (folder / name).mkdir()
    text = f"__version__ = {version!r}\nclass DeepSpeedEngine: ...\n"  # accelerate asks for it
    (folder / name / "__init__.py").write_text(text)
    info = folder / f"{name}-{version}.dist-info"
    info.mkdir()
    text = f"Metadata-Version: 2.1\nName: {name.replace('_', '-')}\nVersion: {version}\n"
    (info / "METADATA").write_text(text)


class Judge:
    """ms-swift, imported once."""

    def __init__(self) -> None:
        self.has_server = False
        if importlib.util.find_spec("swift.arguments") is None:
            self._import_old()
        else:
            self._import()
        self.world = 0

    def _import_old(self) -> None:
        """ms-swift before 4.0: its parser and `__post_init__` alone."""
        from swift import utils
        from swift.llm import RLHFArguments
        from swift.trainers import arguments as train_arguments
        from transformers import HfArgumentParser

        train_arguments.is_liger_available = lambda: True
        # prl-submit asks for one GPU for each process, but this machine has none.
        count = lambda: int(os.environ["LOCAL_WORLD_SIZE"])  # noqa: E731
        for module in [
            utils,
            *map(sys.modules.get, ("swift.utils.env", "swift.utils.torch_utils")),
        ]:
            module.get_device_count = count
        with contextlib.suppress(ImportError):
            trl: Any = importlib.import_module("trl.import_utils")
            trl.is_liger_kernel_available = lambda *_: True
        self.parser = HfArgumentParser([RLHFArguments])
        with contextlib.suppress(ImportError):
            client: Any = importlib.import_module("swift.trainers.rlhf_trainer.vllm_client")
            client.is_vllm_available = lambda: True
            for name in ("close_communicator", "init_communicator"):
                setattr(client.VLLMClient, name, lambda *_, **__: None)
            client.VLLMClient.check_server = lambda *_, **__: self.check_server()

    def _import(self) -> None:
        from swift.arguments import RLHFArguments
        from swift.pipelines.train import rlhf
        from swift.rlhf_trainers import arguments, grpo_trainer, vllm_client
        from swift.trainers import arguments as train_arguments
        from swift.utils import utils
        from transformers import HfArgumentParser

        for module in (
            arguments,
            grpo_trainer,
        ):  # all modules that ask for Liger have been imported
            assert module
        train_arguments.is_liger_available = lambda: True
        self.pipeline = rlhf.SwiftRLHF
        rows_class: Any = importlib.import_module("datasets").Dataset
        mapped = rows_class.map

        def map_here(rows: Any, *args: Any, num_proc: Any = None, **options: Any) -> Any:
            return mapped(rows, *args, num_proc=None if num_proc == 1 else num_proc, **options)

        rows_class.map = map_here

        # As swift.utils.parse_args makes it; making it takes a quarter of a second.
        with utils._patch_get_type_hints():
            self.parser = HfArgumentParser([RLHFArguments])
        vllm_client.is_vllm_available = lambda: True
        for name in ("close_communicator", "init_communicator"):
            setattr(vllm_client.VLLMClient, name, lambda *_, **__: None)
        vllm_client.VLLMClient.check_server = lambda *_, **__: self.check_server()

    def answer(self, question: dict[str, Any]) -> dict[str, Any]:
        """The answer for one configuration. The environment variables are restored afterwards."""
        kept = dict(os.environ)
        self.set_world(question["world"])
        said = io.StringIO()
        where = "parser"
        began = time.monotonic()
        try:
            with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
                argv = [*question["argv"], "--use_cpu", "true"]
                self.has_server = "server" in argv
                arguments, rest = self.parse(argv)
                if rest:
                    raise ValueError(f"remaining_argv: {rest}")
                if question.get("run"):
                    where = "run"
                    self.run(arguments)
            return {"error": None, "seconds": time.monotonic() - began}
        except SystemExit:
            error = said.getvalue().strip().splitlines()[-1]
        except BaseException as problem:  # an AssertionError of ms-swift is an answer too
            where = "arguments" if where == "parser" else where
            error = f"{type(problem).__name__}: {problem}"
            if question.get("trace"):
                error += "\n" + traceback.format_exc()
        finally:
            os.environ.clear()
            os.environ.update(kept)
        return {"error": error, "where": where, "seconds": time.monotonic() - began}

    def check_server(self) -> None:
        """Replaces the start of a server."""
        if not self.has_server:
            raise ConnectionError("Servers not reachable")

    def parse(self, argv: list[str]) -> tuple[Any, list[str]]:
        """swift.pipelines.base SwiftPipeline._parse_args."""
        arguments, rest = self.parser.parse_args_into_dataclasses(
            argv, return_remaining_strings=True
        )
        return arguments, rest

    def run(self, arguments: Any) -> None:
        """swift.cli.rlhf, from the parsed arguments on."""
        self.pipeline(arguments).main()

    def set_world(self, world: int) -> None:
        """Set the variables that torchrun sets for rank 0 of one node. A job of one process can really train."""
        from torch import distributed
        from torch.testing._internal.distributed.fake_pg import FakeStore

        os.environ |= {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": str(world)}
        os.environ["LOCAL_WORLD_SIZE"] = str(world)
        if world == self.world and distributed.is_initialized():
            return
        if distributed.is_initialized():
            distributed.destroy_process_group()
        backend, store = ("fake", FakeStore()) if world > 1 else ("gloo", distributed.HashStore())
        distributed.init_process_group(backend, rank=0, world_size=world, store=store)
        self.world = world


def main() -> None:
    """Answer until stdin ends."""
    os.environ |= OFFLINE
    warnings.simplefilter("ignore")
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # stdout is for answers, so ms-swift's own output goes to stderr
    with tempfile.TemporaryDirectory() as folder:
        sys.path.append(folder)
        make_empty_package(Path(folder), "deepspeed", "0.18.2")
        judge = Judge()
        gc.freeze()  # accelerate collects garbage after each training, which takes half a second with all these modules
        make_empty_package(Path(folder), "liger_kernel", "0.7.0")
        for line in sys.stdin:
            print(json.dumps(judge.answer(json.loads(line))), file=answers)


if __name__ == "__main__":
    main()
