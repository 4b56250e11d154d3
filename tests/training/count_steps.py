"""How many steps the real GRPO trainer of ms-swift counts: the methods of its own class, without a model.

A program, run by the Python of an environment with ms-swift. It reads a JSON list of jobs from stdin and
writes the list of their steps. A trainer is made without `__init__`, which would load a model, and asked for its
data loader; accelerate shards it for the first of `world` processes, as `Accelerator.prepare` does; and
transformers' Trainer counts the steps, the number behind the slash in `global_step/max_steps`.
"""

from __future__ import annotations

import contextlib
import json
import sys
from types import SimpleNamespace
from typing import Any

from accelerate.data_loader import prepare_data_loader

try:
    from swift.rlhf_trainers.args_mixin import GRPOArgumentsMixin
    from swift.rlhf_trainers.grpo_trainer import GRPOTrainer
except ImportError:  # before 4.0
    from swift.trainers.rlhf_trainer.grpo_trainer import GRPOTrainer

    GRPOArgumentsMixin = None


class Rows:
    """A data set of so many rows."""

    def __init__(self, count: int) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> dict[str, int]:
        return {"prompt": index}


def arguments(job: dict[str, Any]) -> SimpleNamespace:
    """The training arguments of a job. ms-swift itself completes the sizes of the generation batch."""
    args = SimpleNamespace(
        per_device_train_batch_size=job["device"],
        gradient_accumulation_steps=job["accumulated"],
        steps_per_generation=job["parts"],
        generation_batch_size=job["generation"],
        num_generations=job["group"],
        world_size=job["world"],
        num_train_epochs=job["epochs"],
        dataloader_drop_last=job["drop_last"],
        max_steps=-1,
        seed=42,
        data_seed=None,
        group_by_length=False,
        dataloader_num_workers=0,
        dataloader_pin_memory=False,
        dataloader_persistent_workers=False,
        dataloader_prefetch_factor=None,
        process_index=0,
        n_gpu=1,
        train_batch_size=job["device"],
        remove_unused_columns=False,
    )
    if GRPOArgumentsMixin is not None:
        GRPOArgumentsMixin._init_generation_batch_params(args)
    return args


def steps(job: dict[str, Any]) -> int:
    """The number of steps of a job."""
    args = arguments(job)

    def prepare(loader: Any) -> Any:
        return prepare_data_loader(
            loader, num_processes=job["world"], process_index=0, put_on_device=False
        )

    trainer = GRPOTrainer.__new__(GRPOTrainer)
    trainer.__dict__.update(
        args=args,
        _train_batch_size=args.per_device_train_batch_size,
        train_dataset=Rows(job["rows"]),
        data_collator=list,
        num_generations=job["group"],
        num_iterations=job["iterations"],
        shuffle_dataset=True,
        template=SimpleNamespace(sequence_parallel_size=1),
        accelerator=SimpleNamespace(prepare=prepare, num_processes=job["world"]),
        _signature_columns=["prompt"],
        model=None,
        is_deepspeed_enabled=False,
    )
    loader = trainer.get_train_dataloader()
    found = _count(trainer, args, loader)
    return int(found[-1])


def _count(trainer: Any, args: Any, loader: Any) -> Any:
    """transformers' own count. Before 5 it is also given the batch of a step."""
    batch = args.per_device_train_batch_size * args.gradient_accumulation_steps * args.world_size
    with contextlib.suppress(TypeError):
        return trainer.set_initial_training_values(args, loader, batch)
    return trainer.set_initial_training_values(args, loader)


if __name__ == "__main__":
    sys.stdout.write(json.dumps([steps(job) for job in json.load(sys.stdin)]) + "\n")
