#!/usr/bin/env python3
"""Make a tiny Qwen2 with random weights and its own tokenizer, for trying out a job without a GPU.

The tokenizer is trained on the example data beside this file and nothing is downloaded. The same
options and library versions give the same bytes, so every node of a job may make its own copy; it
appears under its name in one step, so that several may also make the same one at once. A complete
model is left as it is, which costs no more than a look: no library is imported for that.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import sys
from pathlib import Path
from typing import Any

DATA = Path(__file__).resolve().parent / "data" / "mr_train.jsonl"
FILES = (
    "config.json",
    "generation_config.json",
    "model.safetensors",
    "tokenizer.json",
    "tokenizer_config.json",
)
SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
# One token each, so that even random weights write one now and then: rewards need differences.
TAGS = ("<think>", "</think>", "<answer>", "</answer>")
CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def arguments(argv: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("out", type=Path, metavar="OUT_DIR", help="the model's folder")
    sizes = (("vocab", 512), ("hidden", 64), ("layers", 2), ("heads", 4), ("positions", 512))
    for name, default in sizes:
        parser.add_argument(f"--{name}", type=int, default=default, help="default: %(default)s")
    parser.add_argument("--seed", type=int, default=0, help="default: %(default)s")
    parser.add_argument("--corpus", type=Path, default=DATA, help="jsonl with messages")
    return parser.parse_args(argv)


def model_sizes(args: argparse.Namespace) -> dict[str, int]:
    """The options under the names that config.json has for them."""
    return {
        "hidden_size": args.hidden,
        "max_position_embeddings": args.positions,
        "num_attention_heads": args.heads,
        "num_hidden_layers": args.layers,
        "vocab_size": args.vocab,
    }


def is_complete(folder: Path) -> bool:
    """Whether every file of a model is there; folders are only ever renamed into place whole."""
    return all((folder / name).is_file() for name in FILES)


def check_sizes(folder: Path, sizes: dict[str, int]) -> None:
    """Exit with a message where the model that is there is not the one asked for."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    other = [
        f"{name} {config.get(name)}, not {n}" for name, n in sizes.items() if config.get(name) != n
    ]
    if other:
        sys.exit(f"error: {folder} holds another model ({'; '.join(other)}): remove it first")


def corpus(path: Path) -> list[str]:
    """The texts to train the tokenizer on: what is said in every row, and its sentences."""
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    said = [message["content"] for row in rows for message in row["messages"]]
    return said + [sentence for row in rows for sentence in row.get("sentences", ())]


def transformers() -> Any:
    """The library, imported when it is needed and without its progress bars."""
    library = importlib.import_module("transformers")
    library.utils.logging.disable_progress_bar()
    return library


def make_tokenizer(texts: list[str], vocab: int, positions: int) -> Any:
    """A byte-level BPE tokenizer with exactly ``vocab`` tokens; any text round-trips."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab - len(SPECIAL) - len(TAGS),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.add_special_tokens(list(SPECIAL))
    tokenizer.add_tokens([AddedToken(tag, normalized=False) for tag in TAGS])
    if tokenizer.get_vocab_size() != vocab:
        sys.exit(f"error: --vocab must be 300 or so up to {tokenizer.get_vocab_size()}")
    return transformers().PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        model_max_length=positions,
        chat_template=CHAT_TEMPLATE,
    )


def name_tokenizer(file: Path) -> None:
    """Write what transformers 4 and 5 both read.

    Transformers 5 names the class TokenizersBackend, which 4 does not know, and puts the chat template
    into a file that 4.42 and older do not look for; 4 names a slow class that 5 cannot make.
    """
    config = json.loads(file.read_text(encoding="utf-8"))
    config |= {"tokenizer_class": "PreTrainedTokenizerFast", "chat_template": CHAT_TEMPLATE}
    file.write_text(json.dumps(config, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def make_model(sizes: dict[str, int], tokenizer: Any, seed: int) -> Any:
    """A Qwen2 in float32 whose weights follow from the seed."""
    import torch

    torch.manual_seed(seed)
    ends: dict[str, Any] = {
        "bos_token_id": None,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    config = transformers().Qwen2Config(
        **sizes,
        **ends,
        intermediate_size=2 * sizes["hidden_size"],
        num_key_value_heads=max(sizes["num_attention_heads"] // 2, 1),
        tie_word_embeddings=True,
        dtype="float32",
    )
    model = transformers().Qwen2ForCausalLM(config)
    model.generation_config = transformers().GenerationConfig(**ends)
    return model


def build(out: Path, args: argparse.Namespace) -> None:
    """Make the model in a folder beside ``out`` and rename it; whoever is first wins."""
    import secrets
    import shutil

    out.parent.mkdir(parents=True, exist_ok=True)
    partial = out.with_name(f".{out.name}.{secrets.token_hex(8)}.partial")
    try:
        partial.mkdir()
        tokenizer = make_tokenizer(corpus(args.corpus), args.vocab, args.positions)
        tokenizer.save_pretrained(partial)
        name_tokenizer(partial / "tokenizer_config.json")
        make_model(model_sizes(args), tokenizer, args.seed).save_pretrained(partial)
        # safetensors writes a private file; a shared disk needs it as readable as the others.
        (partial / "model.safetensors").chmod((partial / "config.json").stat().st_mode)
        try:
            partial.rename(out)  # fails where a folder with files in it is already there
        except OSError:
            if not is_complete(out):
                raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def main(argv: list[str] | None = None) -> int:
    """Make the model unless it is there; print its folder either way."""
    args = arguments(argv)
    out = args.out.resolve()
    if is_complete(out):
        check_sizes(out, model_sizes(args))
        print(f"tiny model already in {args.out}")
        return 0
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        sys.exit(f"error: {args.out} is there but is no complete model: remove it or name another")
    # Before the libraries are imported: they read these once.
    os.environ.update(HF_HUB_OFFLINE="1", TRANSFORMERS_OFFLINE="1", TOKENIZERS_PARALLELISM="false")
    build(out, args)
    print(f"tiny model made in {args.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
