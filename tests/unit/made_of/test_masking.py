"""What is taken for a credential in a user's code, and what is not."""

from __future__ import annotations

import time

import pytest

from prl_submit.made_of.masking import credentials_of, is_credentials_file, masked


@pytest.mark.parametrize(
    "line",
    [
        "x = call('hf_@AbCdEfGhIjKlMnOpQrSt')",
        "git clone https://me:@hunter2xy@host/x.git",
        "curl -H 'Authorization: Bearer @abc123def456'",
        "export HF_TOKEN=@abcdef",
        "+export WANDB_API_KEY=@0123456789abcdef",
        " TOKEN=@abc123",
        "-PASSWORD=@hunter2",
        "KEY=@abc123def",
        'token = "@x7f8"',
        "client = Client(api_key='@sesame open')",
        'os.environ["OPENAI_API_KEY"] = "@abcdefgh1"',
        '  "hub_token": "@abcdef123",',
        "password: str = '@hunter2'",
        "api_key: @abcdef123",
        "  - hub_token: @abcdef123",
        "python x.py --hf-token @abcd1234 --beta 1",
        "python x.py --hub_token=@abcd1234",
        "wandb login @0123456789abcdef0123456789abcdef01234567",
        "key = 'sk-@proj-abcdef1234567890'",
        "AKIA@IOSFODNN7EXAMPLE is mine",
        "t = 'ghp_@abcdefghij0123456789'",
        "ms-@01234567-89ab-cdef-0123-456789abcdef",
        "jwt eyJ@hbGciOiJIUzI1.eyJzdWIiOiIxMjM0",
        "SECRET_KEY: @abcdefgh1",
        'AWS_SECRET_ACCESS_KEY="@wJalrXUtnFEMI/K7MDENG"',
        'MY_KEY = "@abc123"',
        "s3_access_key_id = '@abc123'",
    ],
)
def test_credentials(line: str) -> None:
    """What follows @ is the credential; its beginning may go with it."""
    secret = line.partition("@")[2].split("'")[0].split('"')[0].split("@")[0].split()[0]
    found, count = masked(line.replace("@", "", 1))
    assert secret not in found
    assert "***" in found
    assert count == 1


@pytest.mark.parametrize(
    "line",
    [
        'pad_token = "<pad>"',
        "eos_token: '<|im_end|>'",
        "tokenizer.pad_token = tokenizer.eos_token",
        "token = tokenizer.decode(ids)",
        "max_new_tokens: 512",
        "tokens_per_second = 1234567",
        "stop_token = 'Observation:'",
        'key = "solution"',
        "x = row['key']",
        "sorted(rows, key=lambda row: row[0])",
        "TOKEN=$HF_TOKEN",
        'export HF_TOKEN="$MINE"',
        "KEY=${KEY:-}",
        'hf_hub_download("a/b")',
        "PWD=/home/me",
        "api_key = os.environ['X']",
        "api_key='EMPTY'",
        "import secrets",
        "num_tokens = '1024'",
        "https://host:8000/v1",
        "the token is wrong",
        "def secret(token, password): ...",
        "risk-taking-behaviour-of-model-1",
        "token: str = None",
        "token=***",
    ],
)
def test_no_credentials(line: str) -> None:
    assert masked(line) == (line, 0)


def test_a_private_key_in_a_difference() -> None:
    lines = [
        "+-----BEGIN RSA PRIVATE KEY-----",
        "+MIIEpAIBAAKCAQEA7bq",
        "+c2VjcmV0c2VjcmV0c2Vj==",
        "+-----END RSA PRIVATE KEY-----",
        "+x = 1",
    ]
    found, count = masked("\n".join(lines))
    assert "MIIE" not in found
    assert "c2Vj" not in found
    assert found.endswith("\n+x = 1")
    assert count == 1


def test_values_that_are_known() -> None:
    assert masked("a hunter22 b hunter22", ["hunter22"]) == ("a *** b ***", 2)


def test_the_values_of_variables() -> None:
    environ = {
        "MINE": "first line\nsecond line\nx",
        "HF_TOKEN": "abcdef123",
        "SHORT_TOKEN": "abc",
        "HOME": "/home/me",
        "GIT_KEY": "/tmp",
    }
    assert credentials_of(environ, ["MINE"]) == ["second line", "first line", "abcdef123"]


@pytest.mark.parametrize(
    "path",
    [
        ".env", "a/.env.local", "b/prod.env", "x/server.pem", "id_rsa", "a/id_ed25519", ".ssh/config",
        "home/.aws/anything", "credentials.json", "gcp-credentials.json", "secrets.yaml", "a/TOKEN.txt", ".netrc",
    ],
)  # fmt: skip
def test_files_with_credentials(path: str) -> None:
    assert is_credentials_file(path)


@pytest.mark.parametrize(
    "path",
    [
        ".env.example",
        "environment.yaml",
        "token_reward.py",
        "src/secrets.py",
        "key.md",
        "a/tokenizer.json",
    ],
)
def test_other_files(path: str) -> None:
    assert not is_credentials_file(path)


@pytest.mark.parametrize(
    "text", ["a" * 300_000, "token" * 60_000, "token_" * 50_000, "-" * 300_000, "k=" * 150_000]
)
def test_long_lines_take_no_long_time(text: str) -> None:
    began = time.perf_counter()
    masked(text)
    assert time.perf_counter() - began < 2
