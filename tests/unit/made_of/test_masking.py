"""What is taken for a credential in a user's code, and what is not."""

from __future__ import annotations

import time

import pytest

from prl_submit.made_of.masking import credentials_of, is_credentials_file
from prl_submit.system.credentials import masked


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
        '    "HF_TOKEN = \\"@s3cr3tAbC\\"\\n",',  # a cell of a notebook
        '    "login(token=\\"@s3cr3tAbC\\")\\n",',
        "%env HF_TOKEN @s3cr3tAbC",
        'os.environ.setdefault("WANDB_API_KEY", "@s3cr3tAbC")',
        'os.getenv("HF_TOKEN", default="@s3cr3tAbC")',
        'hf_token="""@s3cr3tAbC"""',
        'hf_token = ("@s3cr3tAbC")',
        'login("@s3cr3tAbC")',
        'wandb.login(key="@s3cr3tAbC")',
        "setenv HF_TOKEN @s3cr3tAbC",
        "set -x HF_TOKEN @s3cr3tAbC",
        "ENV HF_TOKEN @s3cr3tAbC",
        "export HF_TOKEN=${HF_TOKEN:-@s3cr3tAbC}",
        "api_key=@s3cr3tAbCdEf123",
        "aws_secret_access_key = @wJalrXUtnFEMI/K7MDENG",
        "password=@s3cr3tAbCdEf123",
        "DB_PASS=@s3cr3tAbC",
        'passphrase = "@s3cr3tAbC"',
        "git clone https://@s3cr3tAbCdEf12345XYZ/x.git".replace("/x", "@host/x"),
        "curl https://host/?access_token=@s3cr3tAbC",
        "curl -u me:@s3cr3tAbC https://host",
        "curl -H 'X-Api-Key: @s3cr3tAbC' https://host",
        'headers = {"Authorization": "token @s3cr3tAbC"}',
        "sshpass -p @s3cr3tAbC ssh host",
        "swanlab login -k @s3cr3tAbC",
        "wandb login --host https://host @0123456789abcdef0123456789abcdef01234567",
        "machine host login me password @s3cr3tAbC",
        "    client-key-data: @LS0tLS1CRUdJTiBSU0E=",
        '{"auths": {"host": {"auth": "@dXNlcjpwYXNz"}}}',
        '{"name": "HF_TOKEN", "value": "@s3cr3tAbC"}',
        "HOOK=https://hooks.slack.com/services/@T000/B000/XXXXabcd",
        "密码：@s3cr3tAbC",
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
        '_TOKEN = re.compile("[a-z]")',
        "token = batch2.next_token",
        "key = keys1[0]",
        "api_key=self.api_key2",
        'names = ["HF_TOKEN", "WANDB_API_KEY"]',
        'row.get("token", "")',
        "one_pass = forward(batch)",
        "set -e",
        "ENV PATH /opt/conda/bin",
        "name: HF_TOKEN",
        "wandb login",
        "https://example.org/a?page=1&key=$KEY",
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


def test_the_end_of_a_private_key() -> None:
    """A difference shows few lines around a change, so the first lines of a key may be missing."""
    lines = [" MIIEpAIBAAKCAQEA7bq", "+c2VjcmV0c2Vj==", " -----END RSA PRIVATE KEY-----", " x = 1"]
    expected = " ***\n+***\n -----END RSA PRIVATE KEY-----\n x = 1"
    assert masked("\n".join(lines)) == (expected, 1)


def test_an_encrypted_private_key() -> None:
    text = "-----BEGIN RSA PRIVATE KEY-----\nDEK-Info: AES-128-CBC,AB\n\nMIIEpAIB\n-----END RSA PRIVATE KEY-----\n"
    found, count = masked(text)
    assert "MIIE" not in found
    assert count == 1


def test_a_variable_of_a_container() -> None:
    found, count = masked("+  - name: HF_TOKEN\n+    value: s3cr3tAbC\n")
    assert (found, count) == ("+  - name: HF_TOKEN\n+    value: ***\n", 1)


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
        "kubeconfig.yaml", "k8s/hf-secret.yaml", "hf_token", "deploy_key", ".dockerconfigjson", ".bash_history",
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
    "text",
    [
        "a", "token", "token_", "-", "k=", "curl ", "machine a login ", "name: ", "?token=", "mysql ", "echo a | ",
        "-----BEGIN PRIVATE KEY-----", "-----BEGIN PRIVATE KEY-----\na b\n", "TOKEN:-", "://", "YWJj\n", 'token="',
        "ENV ", "login --a ", "x-key=", "authorization ", "token=", "login('", "token','", "token: !!str ",
    ],
)  # fmt: skip
def test_long_lines_take_no_long_time(text: str) -> None:
    began = time.process_time()
    masked(text * (120_000 // len(text)) + "-----END")
    assert time.process_time() - began < 2
