"""The reward plugin: format, metrics, built-in evaluators, and the endpoint over real HTTP."""

from __future__ import annotations

import email.utils
import importlib.util
import json
import socket
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

PLUGIN = Path(__file__).resolve().parents[2] / "jobs" / "plugins" / "prl_rewards.py"
KEY = "sk-never-to-be-seen"
BOTH = "Answer positive or negative."


def load_plugin() -> Any:
    """The plugin as a module, loaded as on a machine without ms-swift."""
    spec = importlib.util.spec_from_file_location("prl_rewards_under_test", PLUGIN)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "swift", None)  # importing it would take seconds
        patch.setitem(sys.modules, spec.name, module)  # dataclasses look there
        spec.loader.exec_module(module)
    return module


prl = load_plugin()


# ------------------------------------------------------------------ the plugin as a whole
def test_registers_the_four_rewards() -> None:
    """Under the names that jobs use, made as ms-swift makes them."""
    assert sorted(prl.orms) == ["prl_accuracy", "prl_format", "prl_rouge", "prl_sari"]
    assert prl.orms["prl_format"](args=None)(["x"], labels=[["positive"]], trainer_state=None)


@pytest.mark.parametrize("name", ["swift.rewards", "swift.plugin"])
def test_takes_what_swift_offers(name: str) -> None:
    """ms-swift 4's place and ms-swift 3's place."""
    with pytest.MonkeyPatch.context() as patch:
        package, module = type(sys)("swift"), type(sys)(name)
        package.__path__ = []  # makes it a package
        module.ORM, module.orms = dict, {"found": 1}  # type: ignore[attr-defined]
        patch.setitem(sys.modules, "swift", package)
        patch.setitem(sys.modules, name, module)
        assert prl.swift_rewards() == (dict, {"found": 1})


@pytest.mark.parametrize(
    ("place", "base"),
    [
        ("swift.plugin", "class ORM: pass"),  # 3.x: no arguments
        (
            "swift.rewards",
            "class ORM:\n    def __init__(self, args=None, **kwargs): self.args = args",
        ),
    ],
)
def test_rewards_are_made_as_each_ms_swift_makes_them(
    tmp_path: Path, place: str, base: str
) -> None:
    """3.x calls a reward's class with the arguments of its signature, 4.x with args and more."""
    (tmp_path / "swift").mkdir()
    (tmp_path / "swift" / "__init__.py").write_text("")
    (tmp_path / "swift" / f"{place.partition('.')[2]}.py").write_text(f"{base}\norms = {{}}\n")
    old = place == "swift.plugin"
    make = "orms[name]()" if old else "orms[name](args='a', model=None)"
    code = (
        f"from {place} import orms\nimport runpy\nrunpy.run_path({str(PLUGIN)!r})\n"
        f"for name in sorted(orms): print(name, getattr({make}, 'args', None))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    args = None if old else "a"
    names = ("prl_accuracy", "prl_format", "prl_rouge", "prl_sari")
    assert done.stdout.splitlines() == [f"{name} {args}" for name in names], done.stderr


def test_a_broken_swift_is_heard_of(tmp_path: Path) -> None:
    """A missing dependency of ms-swift is no reason to register the rewards nowhere."""
    (tmp_path / "swift").mkdir()
    (tmp_path / "swift" / "__init__.py").write_text("")
    (tmp_path / "swift" / "rewards.py").write_text("import surely_not_installed")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(tmp_path)
        for name in [n for n in sys.modules if n.partition(".")[0] == "swift"]:
            patch.delitem(sys.modules, name)
        with pytest.raises(ModuleNotFoundError, match="surely_not_installed"):
            prl.swift_rewards()
        for name in ("swift", "swift.rewards"):
            sys.modules.pop(name, None)


# ------------------------------------------------------------------ the format
@pytest.mark.parametrize(
    ("completion", "prompt"),
    [
        ("<think>a</think><answer> Do it. </answer>", "Do it."),
        ("<answer>first</answer> no: <answer>second</answer>", "second"),
        ("<answer>first</answer><answer> </answer>", "first"),
        ("<think>use <answer> here</think><answer>请分类</answer>", "请分类"),
        ("<answer>two\nlines</answer>", "two\nlines"),
        ("<answer>open", None),
        ("<answer></answer>", None),
        ("no tags", None),
    ],
)
def test_extract_prompt(completion: str, prompt: str | None) -> None:
    """The last complete block that is not empty."""
    assert prl.extract_prompt(completion) == prompt


@pytest.mark.parametrize(
    ("completion", "score"),
    [
        ("<think>why</think><answer>what</answer>", 1.0),
        ("\n<think>\nwhy\n</think>\n\n<answer>\nwhat\n</answer>\n", 1.0),
        ("<think>为什么</think><answer>什么</answer>", 1.0),
        ("<think>why</think><answer>what</answer> bye", 0.8),
        ("<think></think><answer>what</answer>", 0.8),
        ("<think>why</think><answer> </answer>", 0.8),
        ("<answer>what</answer><think>why</think>", 0.7),
        ("<think>why</think><answer>what</answer><answer>again</answer>", 0.4),
        ("<think>why", 0.25),
        ("abcd", 0.1),
        ("ab12", 0.05),
        ("1234", 0.0),
        ("", 0.0),
    ],
)
def test_format_score(completion: str, score: float) -> None:
    """Exactly the documented credit."""
    assert prl.format_score(completion) == pytest.approx(score)


# ------------------------------------------------------------------ labels and metrics
@pytest.mark.parametrize(
    ("answer", "label"),
    [
        ("positive", "positive"),
        (" **Negative**.", "negative"),
        ("ＰＯＳＩＴＩＶＥ", "positive"),
        ("The sentiment is: Positive!", "positive"),
        ("Positive or negative? I would say negative.", "negative"),
        ("positive/negative: positive", "positive"),
        ("Positive, although there are some negative remarks.", "positive"),
        ("It has positive moments but overall it is negative", "negative"),
        ("This is not positive.", "negative"),
        ("It isn\u2019t a negative review.", "positive"),
        ("<think>positive? no</think>negative", "negative"),
        ("<think>I think negative", "negative"),
        ("情感：正面", "positive"),
        ("这是消极的评论", "negative"),
        ("这条评论不是正面", "negative"),
        ("neither positive nor negative", None),
        ("positively charming", None),
        ("I cannot tell.", None),
        ("", None),
    ],
)
def test_parse_label(answer: str, label: str | None) -> None:
    """What chatty models say."""
    assert prl.parse_label(answer) == label


@pytest.mark.parametrize(
    ("answer", "reference", "score"),
    [
        ("the cat sat", "The cat sat.", 1.0),
        ("police kill the gunman", "police killed the gunman", 0.75),  # Lin 2004, section 3
        ("the gunman kill police", "police killed the gunman", 0.5),  # the same
        ("会议三点", "会议四点", 0.75),
        ("", "police", 0.0),
        ("...", "police", 0.0),
        ("a b c d", "e f", 0.0),
        ("a b", "a b c d", 2 / 3),
    ],
)
def test_rouge_l(answer: str, reference: str, score: float) -> None:
    """The longest common subsequence as F1."""
    assert prl.rouge_l(answer, "", reference) == pytest.approx(score)


def test_sari_reproduces_the_published_example() -> None:
    """The example in the documentation of Hugging Face's metric gives 26.953601953601954."""
    references = [
        "About 95 species are currently known.",
        "About 95 species are now accepted.",
        "95 species are now accepted.",
    ]
    source = "About 95 species are currently accepted."
    score = prl.sari("About 95 you now get in.", source, references)
    assert score == pytest.approx(0.26953601953601954, abs=1e-12)
    assert prl.sari(references[1], source, references) > score


def test_sari_of_the_one_reference_is_one() -> None:
    """A perfect simplification; Chinese characters count as words."""
    assert prl.sari("The dog ran home.", "The canine went home.", ["The dog ran home."]) == 1.0
    assert 0 < prl.sari("这座楼很老", "这座建筑物很老", ["这座楼很老旧"]) < 1


# ------------------------------------------------------------------ built-in evaluators
@pytest.mark.parametrize(
    ("prompt", "text", "answer"),
    [
        (BOTH, "A wonderful film.", "positive"),
        (BOTH, "A boring film.", "negative"),
        ("Sort this.", "A wonderful film.", "I cannot tell."),
        ("Is it positive?", "A boring film.", "I cannot tell."),
        (BOTH, "A film.", "positive"),
        ("Answer negative or positive.", "A film.", "negative"),
        (BOTH, "It is not good.", "positive"),
        (BOTH + " Mind negation.", "It is not good.", "negative"),
        (BOTH + " Mind negation.", "It isn't very good.", "negative"),
        (BOTH + " Mind negation.", "It is not long, good.", "positive"),
        (BOTH, "Great and lovely, but boring.", "positive"),
        (BOTH + ' Mind "but".', "Great and lovely, but boring.", "negative"),
        (BOTH, "Truly boring, fun and good.", "positive"),
        (BOTH + " Mind the intensity.", "Boring, fun and truly bad.", "negative"),
        (BOTH, "Oh great, another sequel.", "positive"),
        (BOTH + " Mind sarcasm.", "Oh great, another sequel.", "negative"),
        ("正面还是负面？", "A boring film.", "negative"),
    ],
)
def test_classify(prompt: str, text: str, answer: str) -> None:
    """Each rule changes the answer only where the prompt names it."""
    said = prl.classify(prompt, text)
    assert (prl.parse_label(said) or said) == (prl.parse_label(answer) or answer)


CHAT = "Ann: Is the bus late?\nBo: Yes, by an hour, so take the tram.\nAnn: Fine, thanks."


@pytest.mark.parametrize(
    ("prompt", "answer"),
    [
        ("Hello", "Fine, thanks."),
        ("Summarise.", "Is the bus late? Yes, by an hour, so take the tram. Fine, thanks."),
        ("Summarise in short.", "Yes, by an hour, so take the tram. Fine, thanks."),
        ("Short summary of the main point.", "Yes, by an hour, so take the tram."),
        ("Key points, short summary, who says it.", "Bo Yes, by an hour, so take the tram."),
    ],
)
def test_summarise(prompt: str, answer: str) -> None:
    """Each rule changes the summary only where the prompt names it."""
    assert prl.summarise(prompt, CHAT) == answer


@pytest.mark.parametrize(
    ("prompt", "answer"),
    [
        ("Hello", "The physician, who was tall, consumed tea (green)."),
        ("Use plain words.", "The doctor, who was tall, ate tea (green)."),
        ("Remove details.", "The physician consumed tea."),
        ("Simplify and shorten.", "The doctor ate tea."),
    ],
)
def test_simplify(prompt: str, answer: str) -> None:
    """Each rule changes the sentence only where the prompt names it."""
    assert prl.simplify(prompt, "The physician, who was tall, consumed tea (green).") == answer


BETTER = {
    "mr": ("prl_accuracy", "Sort it.", BOTH, BOTH + " Mind negation, contrast and irony."),
    "sum": ("prl_rouge", "Hello", "Summarise.", "Summarise, name the speakers."),
    "sim": ("prl_sari", "Hello", "Simplify.", "Simplify and remove details."),
}


@pytest.mark.parametrize("task", BETTER)
def test_better_prompts_score_better(task: str) -> None:
    """On the example data, as ms-swift calls it; the point of the whole exercise."""
    data = PLUGIN.parents[1] / "data" / f"{task}_train.jsonl"
    rows = [json.loads(line) for line in data.read_text(encoding="utf-8").splitlines()]
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    name, *prompts = BETTER[task]
    reward = prl.orms[name](args=None)
    means = []
    for prompt in prompts:
        completions = [f"<think>.</think><answer>{prompt}</answer>"] * len(rows)
        scores = reward(completions, trainer_state=None, **columns)
        assert all(0 <= score <= 1 for score in scores)
        means.append(sum(scores) / len(scores))
    assert means == sorted(set(means)), means
    assert reward(["no prompt"] * len(rows), **columns) == [0.0] * len(rows)


def test_missing_or_empty_columns_are_named() -> None:
    """A data set for another task, or a row without examples, is an error and no score."""
    reward = prl.orms["prl_accuracy"]()
    with pytest.raises(ValueError, match="sentences"):
        reward(["<answer>x</answer>"], sources=[["x"]], references=[["x"]])
    with pytest.raises(ValueError, match="labels"):
        reward(["<answer>x</answer>"], sentences=[[]], labels=[[]])
    with pytest.raises(ValueError, match="zip"):
        reward([f"<answer>{BOTH}</answer>"], sentences=[["a", "b"]], labels=[["positive"]])


# ------------------------------------------------------------------ the endpoint
@dataclass
class Server:
    """An OpenAI-compatible endpoint that gives the next of ``replies``, the last one for ever."""

    url: str = ""
    replies: list[tuple[int, dict[str, str], Any]] = field(default_factory=list)
    seen: list[tuple[str, dict[str, str], dict[str, Any]]] = field(default_factory=list)
    delay: float = 0.0
    answer: Callable[[str], str] | None = None
    active: int = 0
    most_active: int = 0
    lock: Any = field(default_factory=threading.Lock)

    def reply(self, body: dict[str, Any]) -> tuple[int, dict[str, str], Any]:
        """Status, headers and JSON for one request."""
        if self.answer:
            return 200, {}, completion(self.answer(body["messages"][0]["content"]))
        return self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]


def completion(text: str | None) -> dict[str, Any]:
    """A chat completion that says ``text``."""
    return {"choices": [{"index": 0, "message": {"role": "assistant", "content": text}}]}


def handler(server: Server) -> type[BaseHTTPRequestHandler]:
    """A request handler that speaks for ``server``."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with server.lock:
                server.seen.append((self.path, dict(self.headers), body))
                server.active += 1
                server.most_active = max(server.most_active, server.active)
                status, headers, answer = server.reply(body)
            time.sleep(server.delay)
            with server.lock:
                server.active -= 1
            data = (
                answer
                if isinstance(answer, bytes)
                else json.dumps(answer, ensure_ascii=False).encode()
            )
            try:
                self.send_response(status)
                for name, value in {**headers, "Content-Length": str(len(data))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(data)
            except ConnectionError:
                pass  # the client has given up, as the time-out test wants

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    return Handler


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A running endpoint that says "positive" until told otherwise."""
    monkeypatch.setenv("no_proxy", "*")  # a proxy of the machine must not get these requests
    told = Server(replies=[(200, {}, completion("positive"))])
    http = ThreadingHTTPServer(("127.0.0.1", 0), handler(told))
    thread = threading.Thread(target=http.serve_forever, args=(0.01,))
    thread.start()
    told.url = f"http://127.0.0.1:{http.server_address[1]}"
    yield told
    http.shutdown()
    thread.join()
    http.server_close()


def evaluator(url: str, **settings: Any) -> Any:
    """The endpoint as the environment would name it, with short pauses between attempts."""
    names = {f"PRL_EVALUATOR_{name.upper()}": str(value) for name, value in settings.items()}
    made = prl.endpoint(
        {"PRL_EVALUATOR_URL": url, "PRL_EVALUATOR_MODEL": "qwen", "PRL_EVALUATOR_API_KEY": KEY}
        | names
    )
    made.pause = 0.01
    return made


def failure(evaluate: Any) -> str:
    """The whole traceback of the error that one question ends in; it must not show the key."""
    with pytest.raises(prl.EvaluatorError) as caught:
        evaluate([("p", "t")])
    text = "".join(traceback.format_exception(caught.value)) + repr(evaluate)
    assert KEY not in text
    return text


def test_request_and_answer(server: Server) -> None:
    """One chat message at temperature 0, to the model, with the key."""
    assert evaluator(server.url)([("Sort it.", "A film.")]) == ["positive"]
    ((path, headers, body),) = server.seen
    assert path == "/v1/chat/completions"
    assert headers["Authorization"] == f"Bearer {KEY}"
    assert headers["Content-Type"] == "application/json"
    assert (body["model"], body["temperature"]) == ("qwen", 0)
    ((role, content),) = [(m["role"], m["content"]) for m in body["messages"]]
    assert role == "user"
    assert content.startswith("Sort it.")
    assert "A film." in content


def test_no_key_no_header(server: Server) -> None:
    """A server without a key gets no Authorization header."""
    evaluator(server.url, api_key="")([("p", "t")])
    assert "Authorization" not in server.seen[0][1]


@pytest.mark.parametrize("end", ["", "/", "/v1", "/v1/", "/v1/chat/completions"])
@pytest.mark.parametrize("start", ["", "/proxy"])
def test_ways_to_write_the_url(start: str, end: str) -> None:
    """With or without the parts that every such server has."""
    made = evaluator("http://host:8000" + start + end)
    assert made.url == f"http://host:8000{start}/v1/chat/completions"


def test_chinese_round_trip(server: Server) -> None:
    """UTF-8 both ways, whatever the locale."""
    server.answer = lambda content: f"情感：{content[:2]}😂"
    assert evaluator(server.url)([("正面吗？", "这部电影很好看")]) == ["情感：正面😂"]
    assert "这部电影很好看" in server.seen[0][2]["messages"][0]["content"]


def test_answer_without_text(server: Server) -> None:
    """A model that only reasoned has said nothing, which is wrong but no failure."""
    server.replies = [(200, {}, completion(None))]
    assert evaluator(server.url)([("p", "t")]) == [""]


@pytest.mark.parametrize("status", [500, 503, 429])
def test_retries_until_it_works(server: Server, status: int) -> None:
    """Trouble that passes is waited out."""
    server.replies = [(status, {}, {}), (status, {}, {}), (200, {}, completion("negative"))]
    assert evaluator(server.url)([("p", "t")]) == ["negative"]
    assert len(server.seen) == 3


def test_retry_after_in_seconds(server: Server) -> None:
    """429 with Retry-After: not earlier than asked."""
    server.replies = [(429, {"Retry-After": "1"}, {}), (200, {}, completion("negative"))]
    began = time.monotonic()
    assert evaluator(server.url)([("p", "t")]) == ["negative"]
    assert time.monotonic() - began >= 1


@pytest.mark.parametrize(
    ("value", "least", "most"),
    [("7", 7, 7), ("9999", 120, 120), ("", 0, 0), ("soon", 0, 0), ("date", 20, 31)],
)
def test_retry_after(value: str, least: float, most: float) -> None:
    """Seconds, a date, nonsense; never longer than two minutes."""
    if value == "date":
        value = email.utils.formatdate(time.time() + 30, usegmt=True)
    assert least <= prl.retry_after({"Retry-After": value}) <= most


@pytest.mark.parametrize("status", [400, 401, 404, 307])
def test_other_errors_are_not_retried(server: Server, status: int) -> None:
    """A wrong request stays wrong; a redirect would carry the key elsewhere."""
    location = {"Location": server.url + "/elsewhere"} if status == 307 else {}
    server.replies = [(status, location, {"error": f"no such model, {KEY}"})]
    text = failure(evaluator(server.url))
    assert f"HTTP {status}" in text
    assert "no such model, ***" in text
    assert "1 attempt" in text
    assert len(server.seen) == 1


def test_gives_up_with_a_clear_message(server: Server) -> None:
    """After the retries: where, what, and what to check."""
    server.replies = [(500, {}, {"error": "CUDA out of memory"})]
    text = failure(evaluator(server.url, retries=2))
    assert len(server.seen) == 3
    for part in (server.url, "qwen", "3 attempt", "HTTP 500", "CUDA out", "PRL_EVALUATOR_URL"):
        assert part in text


@pytest.mark.parametrize("body", [b"<html>login</html>", b"[]", b'{"choices": []}'])
def test_not_a_chat_completion(server: Server, body: bytes) -> None:
    """A page that is no API is named as such."""
    server.replies = [(200, {}, body)]
    assert "not a chat completion" in failure(evaluator(server.url))


def test_time_out(server: Server) -> None:
    """A server that does not answer is asked again, then given up."""
    server.delay = 2
    began = time.monotonic()
    assert "TimeoutError" in failure(evaluator(server.url, timeout=0.1, retries=1))
    assert time.monotonic() - began < 2
    assert len(server.seen) == 2


def test_dead_port() -> None:
    """Nobody listens there: an error, never a reward."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    text = failure(evaluator(f"http://127.0.0.1:{port}", retries=1))
    assert "refused" in text
    assert "2 attempt" in text


def test_in_parallel_in_order_and_once(server: Server) -> None:
    """As many at a time as allowed; equal questions are asked once, also in the next step."""
    server.answer = lambda content: content
    server.delay = 0.1
    evaluate = evaluator(server.url, concurrency=4)
    pairs = [("p", str(n % 8)) for n in range(16)]
    answers = evaluate(pairs)
    assert [
        f"Input: {text}\n" in answer for (_, text), answer in zip(pairs, answers, strict=True)
    ] == [True] * 16
    assert 1 < server.most_active <= 4
    assert evaluate(pairs[:8]) == answers[:8]
    assert len(server.seen) == 8


def test_cache_is_small(server: Server) -> None:
    """It forgets the oldest questions."""
    evaluate = evaluator(server.url)
    evaluate.cache = {("old", str(n)): "" for n in range(prl.CACHED)}
    evaluate([("p", "t")])
    assert len(evaluate.cache) == prl.CACHED
    assert ("p", "t") in evaluate.cache
    assert ("old", "0") not in evaluate.cache


def test_reward_with_an_endpoint(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment alone switches the evaluator; half right is 0.5."""
    monkeypatch.setenv("PRL_EVALUATOR_URL", server.url)
    monkeypatch.setenv("PRL_EVALUATOR_MODEL", "qwen")
    completions = ["<think>.</think><answer>Sort it.</answer>", "nothing"]
    columns = {"sentences": [["a", "b"]] * 2, "labels": [["positive", "negative"]] * 2}
    assert prl.orms["prl_accuracy"](args=None)(completions, **columns) == [0.5, 0.0]
    assert len(server.seen) == 2


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"URL": "http://h"}, "PRL_EVALUATOR_MODEL is not set"),
        ({"MODEL": "m"}, "PRL_EVALUATOR_URL is not set"),
        ({"URL": "host:8000", "MODEL": "m"}, "must look like"),
        ({"URL": "file:///etc/passwd", "MODEL": "m"}, "must look like"),
        ({"URL": f"http://u:{KEY}@h", "MODEL": "m"}, "has a password"),
        ({"URL": "http://h", "MODEL": "m", "API_KEY": f"{KEY}\nX: 1"}, "PRL_EVALUATOR_API_KEY"),
        ({"URL": "http://h", "MODEL": "m", "TIMEOUT": "soon"}, "PRL_EVALUATOR_TIMEOUT"),
        ({"URL": "http://h", "MODEL": "m", "TIMEOUT": "0"}, "PRL_EVALUATOR_TIMEOUT"),
        ({"URL": "http://h", "MODEL": "m", "RETRIES": "-1"}, "PRL_EVALUATOR_RETRIES"),
        ({"URL": "http://h", "MODEL": "m", "CONCURRENCY": "nan"}, "PRL_EVALUATOR_CONCURRENCY"),
    ],
)
def test_wrong_settings(settings: dict[str, str], message: str) -> None:
    """Named before the training starts, and without the key."""
    with pytest.raises(prl.EvaluatorError, match=message) as caught:
        prl.endpoint({f"PRL_EVALUATOR_{name}": value for name, value in settings.items()})
    assert KEY not in str(caught.value)


def test_settings() -> None:
    """Nothing set: built in; the rest has the documented defaults; a key may end in a newline."""
    assert prl.endpoint({}) is None
    assert prl.endpoint({"PRL_EVALUATOR_URL": " ", "PRL_EVALUATOR_MODEL": ""}) is None
    made = evaluator("http://h", api_key=KEY + "\n")
    assert (made.timeout, made.retries, made.concurrency, made.api_key) == (60.0, 4, 8, KEY)
