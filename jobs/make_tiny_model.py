#!/usr/bin/env python3
"""Make a tiny Qwen2 with random weights and its own tokenizer, for trying out a job without a GPU.

The tokenizer is trained on the example data beside this file, and nothing is downloaded. The same options
and library versions give the same bytes, so every node of a job may make its own copy. The finished folder
is renamed to its name in one step, so several processes may also make the same model at once. If a complete
model exists already, the script leaves it as it is and does not even import a library.
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
# Each tag is one token, so that even a model with random weights writes a tag now and then. GRPO learns
# from differences between rewards, and without tags all rewards would be equal.
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
    """The options under their names in config.json."""
    return {
        "hidden_size": args.hidden,
        "max_position_embeddings": args.positions,
        "num_attention_heads": args.heads,
        "num_hidden_layers": args.layers,
        "vocab_size": args.vocab,
    }


def is_complete(folder: Path) -> bool:
    """True if the folder holds every file of a model."""
    return all((folder / name).is_file() for name in FILES)


def check_sizes(folder: Path, sizes: dict[str, int]) -> None:
    """Exit with a message if the existing model has other sizes than the options say."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    other = [
        f"{name} {config.get(name)}, not {n}" for name, n in sizes.items() if config.get(name) != n
    ]
    if other:
        sys.exit(f"error: {folder} holds another model ({'; '.join(other)}): remove it first")


def corpus(path: Path) -> list[str]:
    """The texts to train the tokenizer on: the messages and the sentences of every row."""
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    said = [message["content"] for row in rows for message in row["messages"]]
    return said + [sentence for row in rows for sentence in row.get("sentences", ())]


def transformers() -> Any:
    """The library, imported when it is needed and without its progress bars."""
    library = importlib.import_module("transformers")
    library.utils.logging.disable_progress_bar()
    return library


def make_tokenizer(texts: list[str], vocab: int, positions: int) -> Any:
    """A byte-level BPE tokenizer with exactly ``vocab`` tokens. Decoding gives back any encoded text."""
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
    """Change tokenizer_config.json so that transformers 4 and 5 can both read it.

    transformers 5 writes the class TokenizersBackend, which transformers 4 does not know, and it writes the
    chat template into a file that 4.42 and older do not read. transformers 4 writes a slow class that
    transformers 5 cannot make.
    """
    config = json.loads(file.read_text(encoding="utf-8"))
    config |= {"tokenizer_class": "PreTrainedTokenizerFast", "chat_template": CHAT_TEMPLATE}
    file.write_text(json.dumps(config, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def make_model(sizes: dict[str, int], tokenizer: Any, seed: int) -> Any:
    """A Qwen2 in float32 with random weights, which depend only on the seed."""
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
    """Make the model in a folder beside ``out`` and rename the folder to ``out``.

    If several processes do so at once, the first one's folder stays.
    """
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
        # safetensors makes a file that only its owner can read. On a shared disk other users need it too.
        (partial / "model.safetensors").chmod((partial / "config.json").stat().st_mode)
        try:
            partial.rename(out)  # fails if another process has made the folder already
        except OSError:
            if not is_complete(out):
                raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def main(argv: list[str] | None = None) -> int:
    """Make the model unless it exists, and print its folder."""
    args = arguments(argv)
    out = args.out.resolve()
    if is_complete(out):
        check_sizes(out, model_sizes(args))
        print(f"tiny model already in {args.out}")
        return 0
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        sys.exit(
            f"error: {args.out} exists but is not a complete model: remove it or name another folder"
        )
    # These must be set before the libraries are imported, because the libraries read them only once.
    os.environ.update(HF_HUB_OFFLINE="1", TRANSFORMERS_OFFLINE="1", TOKENIZERS_PARALLELISM="false")
    build(out, args)
    print(f"tiny model made in {args.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
