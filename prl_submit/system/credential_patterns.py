"""What credentials look like: names of files, and patterns of parts of lines."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache

#: Names of files with credentials, in lower case; `*` stands for any characters.
FILES = (
    ".env", ".env.*", ".env_*", ".env-*", "*.env", ".envrc", "*.pem", "*.key", "*.p12", "*.pfx", "*.jks", "*.kdbx",
    "*.gpg", "*.keystore", "*.ppk", "id_rsa*", "id_dsa*", "id_ecdsa*", "id_ed25519*", "*_key", ".netrc", "_netrc",
    ".npmrc", ".pypirc", ".git-credentials", ".htpasswd", ".pgpass", ".my.cnf", ".s3cfg", ".boto", ".ossutilconfig",
    "rclone.conf", ".dockercfg", ".dockerconfigjson", ".vault*", "vault.y*ml", "*.tfstate", "*.tfstate.*", ".*_history",
    "cookies", "cookies.*", "credentials", "credentials.*", "*credentials.json", "service-account*.json",
    "service_account*.json", "*-sa.json", "*adminsdk*.json", "client_secret*", "*kubeconfig*", "kube-config*", "secret.*",
    "secrets.*", "*secret*.y*ml", "*secret*.json", "*.secret", "*.secrets", "password", "password.*", "passwords",
    "passwords.*", "*.token", "token", "token.txt", "token.json", "tokens.json", "tokens.txt", "*_token",
    "stored_tokens", "*_token.txt", "*_key.txt", "api_key*", "apikey*",
)  # fmt: skip
#: Examples that hold no credential.
NOT_FILES = (".env.example", ".env.sample", ".env.template", "*.example", "*.py")
#: Folders whose files are credentials.
FOLDERS = frozenset({".ssh", ".aws", ".kube", ".docker", ".gnupg", ".netrc.d"})

#: Credentials of well-known services, by their beginnings.
_KNOWN = (
    r"\b(?:hf_[A-Za-z0-9]{10,}|gh[pousr]_[A-Za-z0-9]{10,}|github_pat_[A-Za-z0-9_]{10,}|glpat-[A-Za-z0-9_-]{10,}"
    r"|xox[a-z]-[A-Za-z0-9-]{10,}|xapp-[A-Za-z0-9-]{10,}|sk-(?=[A-Za-z_-]*[0-9])[A-Za-z0-9_-]{10,}"
    r"|[rs]k_(?:live|test)_[A-Za-z0-9]{10,}|(?:AKIA|ASIA)[0-9A-Z]{12,}|AKID[A-Za-z0-9]{24,}"
    r"|LTAI[A-Za-z0-9]{12,}|AIza[A-Za-z0-9_-]{30,}|ya29\.[A-Za-z0-9_-]{10,}|nvapi-[A-Za-z0-9_-]{10,}"
    r"|npm_[A-Za-z0-9]{20,}|gsk_[A-Za-z0-9]{20,}|tvly-[A-Za-z0-9-]{16,}|dapi[0-9a-f]{32}"
    r"|SG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}|pypi-[A-Za-z0-9_-]{20,}|r8_[A-Za-z0-9]{20,}"
    r"|ms-[0-9a-f]{8}(?:-[0-9a-f]{4,12}){2,4}|eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}(?:\.[A-Za-z0-9_-]*)?)"
)
#: Addresses to which everybody who knows them can send.
_HOOK = r"(?P<kept>\b(?:hooks\.slack\.com/(?:services|workflows)|bot/v2/hook)/)[\w/-]{8,}"
_HEADER = r"(?P<kept>\b(?:Bearer|Basic)[ \t]+)(?=[\w.~+/=-]*[0-9=])[\w.~+/=-]{6,}"
#: `Authorization: token …`, `"X-Api-Key": "…"`.
_OTHER_HEADER = (
    r"(?P<kept>(?i:\bauthorization|\bx-[\w-]{0,30}(?:key|token|secret))\\?[\"']?[ \t]*[:=,][ \t]*(?:[fb]?\\?[\"'])?"
    r"(?:(?i:token|apikey|bearer|basic)[ \t]+)?)(?=[\w.~+/=-]{0,200}[0-9])[\w.~+/=-]{8,}"
)
_ADDRESS = r"(?P<kept>://[^/\s:@\"']{0,99}:)[^/\s@$\"'{}]+(?=@)"
#: `https://TOKEN@host`
_USER = r"(?P<kept>://)(?=[A-Za-z_-]*[0-9])[A-Za-z0-9_-]{20,}(?=@)"
#: `?access_token=…&`
_QUERY = (
    r"(?P<kept>[?&](?i:[\w.-]{0,40}(?:token|key|secret|signature|sig|password|passwd|pwd|credential)=))"
    r"[^&\s\"'#<>${}]{6,}"
)
_LOGIN = (
    r"(?P<kept>\blogin[ \t]+(?:--?[\w-]+(?:[ \t=]+[^\s|;-]\S{0,200})?[ \t]+){0,4})[0-9a-f]{32,}\b"
)
#: `login("…")`, `wandb.login(key="…")`
_LOGIN_CALL = (
    r"(?P<kept>\blogin\([ \t]*(?:key[ \t]*=[ \t]*)?\\?[\"'])(?=[^\s\"'\\]{0,200}[0-9])[^\s\"'\\${}]{8,}"
    r"(?=\\?[\"'])"
)
#: Options of programs that take a credential.
_PROGRAMS = (
    r"(?P<kept>\bcurl[ \t](?:[^\n|;]{0,300}[ \t])?(?:-u|--user)[ \t=]*[\"']?[^\s:\"']{1,60}:)[^\s\"'$]{4,}",
    r"(?P<kept>\bsshpass[ \t]+-p[ \t]*[\"']?)[^\s\"'$]{4,}",
    r"(?P<kept>\bmysql(?:dump|admin)?[ \t](?:[^\n|;]{0,200}[ \t])?-p)(?=\S{0,200}[0-9])[^\s\"'$]{4,}",
    r"(?P<kept>\b(?:swanlab|wandb)[ \t]+login[ \t](?:[^\n|;]{0,80}[ \t])?-k[ \t=]*[\"']?)[^\s\"'$]{6,}",
    r"(?P<kept>\bossutil(?:64)?[ \t](?:[^\n|;]{0,200}[ \t])?-k[ \t]*[\"']?)[^\s\"'$]{6,}",
    r"(?P<kept>\b(?:echo|printf)[ \t]+[\"']?)[^\s\"'$]{6,}(?=[\"']?[ \t]*\|[^\n|]{0,80}(?:login|password-stdin))",
    r"(?P<kept>\bmachine[ \t]+\S{1,200}[ \t]+login[ \t]+\S{1,200}[ \t]+password[ \t]+)\S+",
)
#: A variable of a container: its name, and its value behind it or on the next line.
_PAIR = (
    r"(?P<kept>\bname\\?[\"']?:[ \t]*\\?[\"']?[A-Z0-9_]{0,60}(?:TOKEN|SECRET|PASSWORD|PASSWD|KEY|CREDENTIAL)S?\\?[\"']?"
    r"[ \t]*,?[ \t\r]*(?:\n[ +-]?[ \t]*)?\\?[\"']?value\\?[\"']?:[ \t]*\\?[\"']?)[^\s\"'$\\{}]{4,}"
)
#: Of a kubeconfig, and of docker's config.json.
_BASE64 = (
    r"(?P<kept>(?:\bclient-key-data|\.dockerconfigjson|[\"']auth)\\?[\"']?:[ \t]*\\?[\"']?)"
    r"[A-Za-z0-9+/=]{8,}"
)
_CHINESE = r"(?P<kept>(?:密码|密钥|令牌|口令)[ \t]*[:=\uff1a][ \t]*[\"'“]?)(?=\S{0,200}[0-9])[^\s\"'”$\uff0c。]{6,}"
#: The end of a name of a credential; a pattern that uses it closes its group. `_name_before` in masking.py looks
#: at what is before it in the name, and only for a match, because a pattern that begins with a name of any length
#: takes minutes for a long line.
_WORD = (
    r"(?P<name>(?i:token|secret|passw(?:or)?d|passwd|passphrase|pwd|(?<![a-z])pass|(?:api|access|secret|private|auth"
    r"|account)[_-]?key|credential)s?(?i:_?id)?"
)
_CAPITALS = r"(?:TOKEN|SECRET|PASSWORD|PASSWD|PASSPHRASE|(?<![A-Z])PASS|PWD|KEY|CREDENTIAL)S?"
#: Only lines with one of these are looked at for a name, because that is much faster.
WORDS = ("token", "secret", "pass", "pwd", "key", "credential")
#: A quotation mark; a notebook has `\"` in place of it.
_QUOTE = r"(?P<quote>\\?(?:\"\"\"|'''|[\"']))"
_TEXT = r"(?P<value>(?:(?!(?P=quote))(?:\\.|[^\\\n]))+)"
#: `TOKEN="…"`, `"api_key": "…"`, `password: str = '…'`.
_QUOTED = (
    rf"(?P<kept>{_WORD}|KEY)(?:(?:\\?[\"'])?\]?[ \t]*)(?::[ \t]*[A-Za-z_.]{{1,30}}[ \t]*)?(?::=|[=:])[ \t]*"
    rf"\(?[ \t]*[rbuRBU]?{_QUOTE}){_TEXT}"
)
#: `os.getenv("TOKEN", "…")`, `setdefault("API_KEY", "…")`
_CALL = (
    rf"(?P<kept>{_WORD}|KEY)(?:\\?[\"'])?[ \t]*,[ \t]*(?:default[ \t]*=[ \t]*)?[rbuRBU]?{_QUOTE})"
    rf"(?=[^\"'\n]{{0,200}}[0-9])(?=[^\"'\n]{{6}}){_TEXT}"
)
#: `export TOKEN=…`, `API_KEY: …`: without quotes, so the name is in capitals.
_BARE = (
    rf"(?P<kept>(?P<name>{_CAPITALS})[ \t]*(?:\+?=|:[ \t])[ \t]*)"
    r"(?P<value>[^\s\"'$`(){}\[\]<>,;&|#=]+)(?![\w(\[.\"'])"
)
#: `setenv TOKEN …`, `ENV TOKEN …` of a Dockerfile, `%env TOKEN …` of a notebook.
_SET = (
    rf"(?P<kept>(?:\bsetenv|\bset[ \t]+-[a-zA-Z]+|\bENV|%env)[ \t]+(?P<name>[A-Z0-9_]{{0,60}}?{_CAPITALS})[ \t]+"
    r"\\?[\"']?)(?P<value>[^\s\"'$`\\=]{4,})"
)
#: `${TOKEN:-…}`
_DEFAULT = rf"(?P<kept>(?P<name>{_CAPITALS}):?[=-][ \t]*[\"']?)(?P<value>[^\s\"'$`{{}}]{{6,200}})(?=[\"']?\}})"
#: `api_key: …` of a YAML file, `secret_key = …` of another file, in small letters.
_ENTRY = rf"(?P<kept>{_WORD}):[ \t]+(?:!!str[ \t]+)?)(?P<value>(?=\S{{0,200}}[0-9])[^\s\"'$`(){{}}\[\]<>,;&|#]{{6,}})(?=[ \t]*$)"
_SETTING = (
    rf"(?P<kept>{_WORD})[ \t]*=[ \t]*)(?P<value>(?=\S{{0,200}}[0-9])"
    r"(?![A-Za-z]+[0-9]{0,3}(?:[_.][A-Za-z]+[0-9]{0,3})*(?![\w+/=-]))"
    r"[^\s\"'$`(){}\[\]<>,;&|#]{8,})(?![\w(\[])"
)
#: `--hf-token …`, `--token=…`
_OPTION = (
    rf"(?P<kept>{_WORD}|(?<=-)key)(?:[ \t]+|=)[\"']?)"
    r"(?P<value>(?=\S{0,200}[0-9])[^\s\"'$`(){}\[\]<>,;&|-][^\s\"'$`(){}\[\]<>,;&|]{5,})"
)
#: The lines of a private key, in a file or in a difference: up to its end, or as long as they look like it.
_PRIVATE_KEY = (
    r"(?P<kept>-----BEGIN [A-Z ]{0,30}PRIVATE KEY(?: BLOCK)?-----)"
    r"(?:(?:[^-]|-(?!----)){1,16000}(?=-?-----END)"
    r"|(?:\\n|[ \t\r]*\n[ +-]?[ \t]*(?=[A-Za-z0-9+/=\\]{8})|[A-Za-z0-9+/=])+)"
)
#: Tokens of a tokenizer, and how many tokens: no credentials.
OF_TOKENIZERS = re.compile(
    r"(?:.*[._-])?(?:eos|bos|pad|unk|sep|cls|mask|special|image|video|audio|stop|end|start|new|extra|think|tool|n|num|max|min"
    r"|total|per|each|last|first|next|response|prompt|completion|added|additional|begin|generation)[._-]?(?:special[._-]?)?tokens?",
    re.IGNORECASE,
)
#: Texts that are no credentials: special tokens, names of variables and placeholders.
HARMLESS = re.compile(
    r"<.*>|\[[A-Z_]+\]|\$.*|%.*|\{.*\}|[*x.…\\-]+|none|null|true|false|empty|auto|str|int|[0-9]{1,6}|your[-_ ].*",
    re.IGNORECASE,
)
#: Says whether a whole name can be that of a credential.
IsName = Callable[[str], bool]


def _is_any(name: str) -> bool:
    return True


def _is_option(name: str) -> bool:
    return name.startswith("-")


@cache
def patterns() -> list[re.Pattern[str]]:
    """The patterns of credentials that are known by themselves. What `kept` matches stays."""
    texts = (
        _PRIVATE_KEY, _KNOWN, _HOOK, _HEADER, _OTHER_HEADER, _ADDRESS, _USER, _QUERY, _LOGIN, _LOGIN_CALL, *_PROGRAMS,
        _PAIR, _BASE64, _CHINESE,
    )  # fmt: skip
    return [re.compile(text) for text in texts]


@cache
def assigning_patterns() -> list[tuple[re.Pattern[str], IsName]]:
    """The patterns of lines that assign a value to a name, and what that name must be like."""
    texts: list[tuple[str, IsName]] = [
        (_SET, _is_any),
        (_QUOTED, _is_any),
        (_CALL, _is_any),
        (_DEFAULT, _is_any),
        (_BARE, str.isupper),
        (_OPTION, _is_option),
        (_ENTRY, _is_any),
        (_SETTING, _is_any),
    ]
    return [(re.compile(text), is_name) for text, is_name in texts]
