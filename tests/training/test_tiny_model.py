"""The tiny model loads, is always the same, and can be made by several processes at once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.training
SCRIPT = Path(__file__).resolve().parents[2] / "jobs" / "make_tiny_model.py"


def start(*arguments: object) -> subprocess.Popen[str]:
    """The script, running in a process of its own."""
    return subprocess.Popen(
        [sys.executable, str(SCRIPT), *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def make(*arguments: object) -> str:
    """What the script prints; it must succeed."""
    process = start(*arguments)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    return out


def contents(folder: Path) -> dict[str, bytes]:
    """Every file of a folder."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model made with the default options."""
    folder = tmp_path_factory.mktemp("tiny") / "model"
    assert make(folder) == f"tiny model made in {folder}\n"
    return folder


def test_loads_and_generates(model: Path) -> None:
    """Transformers loads the folder like any other model. The tokenizer gives back text and tags unchanged."""
    transformers = pytest.importorskip("transformers")
    torch = pytest.importorskip("torch")
    tokenizer = transformers.AutoTokenizer.from_pretrained(model)
    text = "<think>naïve café 《雨巷灯火》 😂</think>"
    assert tokenizer.decode(tokenizer.encode(text)) == text
    assert len(tokenizer.encode("<think></think><answer></answer>")) == 4
    messages = [{"role": "user", "content": "Hello"}]
    chat = tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
    assert chat == "<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\n"
    loaded = transformers.AutoModelForCausalLM.from_pretrained(model)
    assert loaded.config.model_type == "qwen2"
    assert loaded.config.vocab_size == len(tokenizer) == 512
    assert sum(weights.numel() for weights in loaded.parameters()) < 200_000
    ids = torch.tensor([tokenizer.encode(chat)])
    generated = loaded.generate(ids, max_new_tokens=4, min_new_tokens=4, do_sample=False)
    assert generated.shape == (1, ids.shape[1] + 4)


def test_prompts_of_the_example_data_are_short(model: Path) -> None:
    """Every mr prompt fits the length that the example jobs allow."""
    transformers = pytest.importorskip("transformers")
    tokenizer = transformers.AutoTokenizer.from_pretrained(model)
    for name in ("mr_train", "mr_val"):
        rows = (SCRIPT.parent / "data" / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
        assert rows
        assert max(len(tokenizer.encode(row.partition('"sentences"')[0])) for row in rows) < 256


def test_transformers_4_knows_the_tokenizer_too(model: Path) -> None:
    """Both transformers 4 and 5 have its class and find its template."""
    config = json.loads((model / "tokenizer_config.json").read_text(encoding="utf-8"))
    assert config["tokenizer_class"] == "PreTrainedTokenizerFast"
    assert "<|im_start|>assistant" in config["chat_template"]


def test_two_at_once_make_the_same_bytes(model: Path, tmp_path: Path) -> None:
    """Both succeed, and there is one complete folder, equal to one that was made elsewhere."""
    both = [start(tmp_path / "shared" / "model") for _ in range(2)]
    results = [(*process.communicate(timeout=120), process.returncode) for process in both]
    assert [code for _, _, code in results] == [0, 0], results
    assert os.listdir(tmp_path / "shared") == ["model"]
    assert contents(tmp_path / "shared" / "model") == contents(model)


def test_second_call_imports_no_library(model: Path) -> None:
    """If the model is complete, the script imports no library."""
    before = contents(model)
    assert make(model) == f"tiny model already in {model}\n"
    listing = subprocess.run(
        [sys.executable, "-X", "importtime", str(SCRIPT), str(model)],
        capture_output=True,
        text=True,
        check=True,
    ).stderr
    assert "argparse" in listing
    assert not {"torch", "transformers", "tokenizers"} & set(listing.split())
    assert contents(model) == before


def test_partial_folder_beside_it_does_not_count(tmp_path: Path) -> None:
    """A folder that a killed process left is neither taken for a model nor an obstacle."""
    left = tmp_path / ".model.0123456789abcdef.partial"
    left.mkdir()
    (left / "config.json").write_text("{}")
    make(tmp_path / "model")
    assert (tmp_path / "model" / "model.safetensors").is_file()
    assert sorted(os.listdir(tmp_path)) == [left.name, "model"]


def test_other_folder_is_not_overwritten(tmp_path: Path) -> None:
    """A folder with other files stays as it is, and the message names it."""
    (tmp_path / "notes.txt").write_text("mine")
    process = start(tmp_path)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (1, "")
    assert "not a complete model" in err
    assert os.listdir(tmp_path) == ["notes.txt"]


def test_other_sizes_are_noticed(model: Path) -> None:
    """The script refuses a model of another size."""
    process = start(model, "--hidden", "32")
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (1, "")
    assert "hidden_size 64, not 32" in err


def test_help_names_the_sizes() -> None:
    """--help imports no library and shows the defaults."""
    text = make("--help")
    assert "OUT_DIR" in text
    assert "--vocab" in text
    assert "default: 512" in text
