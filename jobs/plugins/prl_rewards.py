"""Rewards for PRL (Prompts from Reinforcement Learning) as one ms-swift plugin file.

The policy writes a prompt: ``<think>...</think><answer>THE PROMPT</answer>``. ``prl_format`` scores
that shape; ``prl_accuracy`` (mr: review sentiment), ``prl_rouge`` (sum: dialogue summaries) and
``prl_sari`` (sim: sentence simplification) score how well a frozen evaluator does the task with THE
PROMPT on the row's held-out examples. All rewards are from 0 to 1. A completion without a prompt gets 0
from the three task rewards.

Dataset columns: mr ``sentences`` and ``labels``; sum and sim ``sources`` and ``references``.

Evaluators. The built-in evaluator is the default. It is deterministic and instant, and is meant for trying
out the pipeline and for tests. It is not a language model: it knows a few hundred words, and certain words
in the prompt switch its rules on (``classify``, ``summarise`` and ``simplify`` say which). If
PRL_EVALUATOR_URL and PRL_EVALUATOR_MODEL are set, the evaluator is an OpenAI-compatible chat endpoint at
temperature 0:
  PRL_EVALUATOR_API_KEY      sent as a Bearer token, never shown
  PRL_EVALUATOR_TIMEOUT      seconds without an answer, default 60
  PRL_EVALUATOR_RETRIES      further attempts on connection errors, 429 and 5xx, default 4
  PRL_EVALUATOR_CONCURRENCY  parallel requests per training process, default 8
An endpoint that stays down ends the training with EvaluatorError, because the policy would learn from a
reward of 0 that only means that the endpoint was down.
"""

from __future__ import annotations

import email.utils
import http.client
import importlib
import json
import os
import random
import re
import time
import unicodedata
import urllib.parse
import urllib.request
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

Pair = tuple[str, str]  # (prompt, text)
Evaluate = Callable[[Sequence[Pair]], list[str]]  # one answer per pair, in order


def swift_rewards() -> tuple[Any, Any]:
    """ms-swift's reward base class and registry. Without ms-swift: an empty class and an empty registry."""
    for name in ("swift.rewards", "swift.plugin"):  # 4.x, 3.x
        try:
            module = importlib.import_module(name)
        except ModuleNotFoundError as error:
            # Only ms-swift itself may be missing. The user must hear of a broken installation.
            if (error.name or "").partition(".")[0] != "swift":
                raise
        else:
            return module.ORM, module.orms
    return type("ORM", (), {"__init__": lambda self, args=None, **kwargs: None}), {}


if TYPE_CHECKING:

    class ORM:
        """ms-swift's base class, as the type checker sees it."""

        def __init__(self, args: Any = None, **kwargs: Any) -> None:
            """Take the training's arguments."""

    orms: dict[str, type[ORM]]
else:
    ORM, orms = swift_rewards()


class EvaluatorError(RuntimeError):
    """The evaluator has wrong settings or cannot be reached. The message says what to check."""


# ---------------------------------------------------------------- the format of a completion
TAGS = ("<think>", "</think>", "<answer>", "</answer>")
EXACT = re.compile(r"\s*<think>(.*?)</think>\s*<answer>(.*?)</answer>\s*", re.DOTALL)
ANSWER = re.compile(r"<answer>((?:(?!<answer>).)*?)</answer>", re.DOTALL)


def extract_prompt(completion: str) -> str | None:
    """The text of the last complete ``<answer>`` block that is not empty, without outer spaces; else None."""
    found = [body.strip() for body in ANSWER.findall(completion)]
    full = [body for body in found if body]
    return full[-1] if full else None


def format_score(completion: str) -> float:
    """1.0 for a think block and then an answer block, both not empty; otherwise at most 0.8.

    A completion of another shape gets 0.15 for each of the four tags that occurs exactly once, 0.1 if all
    four do so in order, and 0.1 times the share of letters and spaces outside the tags. The last part gives
    different scores even to completions of a model that has not written a tag yet. White space around and
    between the two blocks is allowed.
    """
    match = EXACT.fullmatch(completion)
    once = [tag for tag in TAGS if completion.count(tag) == 1]
    if match and len(once) == 4 and all(body.strip() for body in match.groups()):
        return 1.0
    in_order = len(once) == 4 and sorted(TAGS, key=completion.index) == list(TAGS)
    rest = re.sub("|".join(TAGS), "", completion)
    wordy = sum(c.isalpha() or c.isspace() for c in rest) / max(len(rest), 1)
    return round(0.15 * len(once) + 0.1 * in_order + 0.1 * wordy, 6)


# ---------------------------------------------------------------- scores of one answer
MENTION = re.compile(
    r"(?P<not>\b(?:not|isn't)\s+(?:an?\s+|really\s+)?|不是)?"
    r"(?:(?P<good>\bpositive\b|正面|积极)|\bnegative\b|负面|消极)"
)


def parse_label(answer: str) -> str | None:
    """The label that an evaluator's free text states, or None.

    A ``<think>`` part is removed first, and upper case and compatibility forms of letters do not matter.
    "Not positive" means negative, and "neither positive nor negative" means no label. If the answer begins
    with a label and is not a list of choices ("positive or negative?"), the first label counts. Otherwise
    the last label counts, because many models explain first and give their answer at the end.
    """
    text = unicodedata.normalize("NFKC", answer.rpartition("</think>")[2]).casefold()
    text = text.replace("\u2019", "'").lstrip(" \t\r\n*_\"'`#:.([{-")
    found = list(MENTION.finditer(text))
    if not found or re.search(r"\bneither\b", text):
        return None
    listed = re.match(r"\W{0,3}(?:or\b|and\b|/|\||或)", text[found[0].end() :])
    said = found[0] if found[0].start() == 0 and not listed else found[-1]
    return "positive" if bool(said["good"]) != bool(said["not"]) else "negative"


def label_score(answer: str, _text: str, label: str) -> float:
    """1.0 if the answer states the label, else 0.0."""
    return float(parse_label(answer) == label.strip().casefold())


def tokens(text: str, punctuation: bool = False) -> list[str]:
    """The words of a text in lower case. Each Chinese character is a word, as Chinese has no spaces."""
    found = re.findall(r"[\u4e00-\u9fff]|[^\W\u4e00-\u9fff]+|[^\w\s]", text.casefold())
    return [t for t in found if punctuation or t[0].isalnum()]


def rouge_l(answer: str, _source: str, reference: str) -> float:
    """ROUGE-L F1 (Lin 2004, sentence level, beta 1) from the longest common subsequence."""
    ours, theirs = tokens(answer), tokens(reference)
    row = [0] * (len(theirs) + 1)
    for word in ours:
        diagonal = 0
        for i, other in enumerate(theirs, 1):
            diagonal, row[i] = row[i], diagonal + 1 if word == other else max(row[i], row[i - 1])
    return 2 * row[-1] / (len(ours) + len(theirs)) if ours and theirs else 0.0


def sari(answer: str, source: str, references: Sequence[str]) -> float:
    """SARI in 0..1 (Xu et al. 2016, "Optimizing SMT for Text Simplification", section 2).

    For n-grams of each n from 1 to 4, the score is (F1 of n-grams kept + F1 of n-grams added + precision of
    n-grams deleted) / 3; SARI is the mean of the four scores. 0/0 counts as 1, and the recall of n-grams
    kept counts occurrences, as in the ``sari`` of Hugging Face's evaluate. The tests have its published
    example.
    """
    texts = [tokens(text, punctuation=True) for text in (source, answer, *references)]
    return sum(sari_ngram(*(ngrams(text, n) for text in texts)) for n in range(1, 5)) / 4


def ngrams(words: Sequence[str], n: int) -> Counter[tuple[str, ...]]:
    """How often each n-gram occurs."""
    return Counter(tuple(words[i : i + n]) for i in range(len(words) - n + 1))


def sari_ngram(source: Counter[Any], answer: Counter[Any], *references: Counter[Any]) -> float:
    """SARI for one n.

    The counts of source and answer are multiplied by the number of references, because they are compared
    with the sum of all references.
    """
    wanted: Counter[Any] = sum(references, Counter())
    old = Counter({gram: n * len(references) for gram, n in source.items()})
    new = Counter({gram: n * len(references) for gram, n in answer.items()})
    kept, keepable, deleted = old & new, old & wanted, old - new
    good_kept, good_deleted = kept & wanted, deleted - wanted
    added, addable = set(answer) - set(source), set(wanted) - set(source)
    keep = f1(share(good_kept, kept), ratio(good_kept.total(), keepable.total()))
    add = f1(ratio(len(added & addable), len(added)), ratio(len(added & addable), len(addable)))
    return (keep + add + share(good_deleted, deleted)) / 3


def share(part: Counter[Any], whole: Counter[Any]) -> float:
    """The mean, over the n-grams of ``whole``, of the fraction that is also in ``part``; 1 without n-grams."""
    return ratio(sum(n / whole[gram] for gram, n in part.items()), len(whole))


def ratio(part: float, whole: float) -> float:
    """``part`` divided by ``whole``; 1 if ``whole`` is 0."""
    return part / whole if whole else 1.0


def f1(precision: float, recall: float) -> float:
    """The harmonic mean of the two numbers; 0 if both are 0."""
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


# ---------------------------------------------------------------- built-in evaluators
GOOD = """amazing applauding beautiful beautifully best brilliant captivating charm
charming chemistry clever compelling delight delightful engaging enjoyable excellent
exquisite fantastic fearless fresh fun funny gem generous glorious good gorgeous graceful
great gripping heart hilarious honest humane impressive inventive joy laughed lovely loved
marvel masterpiece memorable moving original perfect poignant powerful praise refreshing
remarkable sharp smart stunning superb sweetest tender terrific thoughtful thrilling
touching triumph unforgettable vivid warm warmth witty wonderful worth""".split()
BAD = """annoying asleep awful bad bland boring bored bore chore clumsy cliché clichés
confusing disaster dreadful dreary dull empty endless excuse exhausting failed fails flat
forced forgettable hollow holes horrible incoherent lazy lifeless mediocre mess muddled
noise overlong padding pointless poor poorer predictable pretentious ridiculous sermon
silly sloppy slow stale stiff tedious terrible terribly tired tiresome ugly unfunny
unwatchable wasted waste weak wooden worse worst""".split()
NEGATORS = ("not", "no", "never", "nothing", "hardly", "without", "neither", "nor", "n't")
STRONG = ("very", "so", "truly", "really", "utterly", "deeply", "absolutely", "incredibly", "too")
IRONY = re.compile(
    r"yeah,? right|oh,? (great|good)|just what|what a surprise|thanks for|if you "
    r"enjoy|exactly what nobody|bravo|congratulations|for everyone who has always"
)
PLAIN = dict(
    pair.split(":")
    for pair in """purchase:buy purchased:bought commenced:began
terminate:end utilised:used assist:help assisted:helped approximately:about numerous:many
sufficient:enough residence:home individuals:people physician:doctor physicians:doctors obtain:get
obtained:got demonstrated:showed constructed:built inhabitants:people subsequently:later
prior:before require:need required:needed attempted:tried additional:more vehicles:cars consume:eat
consumed:ate beverages:drinks principal:main frequently:often concluded:ended""".split()
)


def asks(prompt: str, words: str) -> bool:
    """True if the prompt has a word that begins with one of ``words`` (a regular expression)."""
    return re.search(rf"(?<![a-z])(?:{words})", prompt, re.IGNORECASE) is not None


def sentiment(prompt: str, text: str) -> float:
    """The number of good words minus the number of bad words. Below 0 the text is negative.

    Words in the prompt switch further rules on; see ``classify``.
    """
    text = text.casefold().replace("\u2019", "'")
    contrast = asks(prompt, r"contrast|but\b|however")
    degree = asks(prompt, "intens|strong|degree")
    negation = asks(prompt, r"negation|negated|not\b|never")
    total, flip, weight = 0.0, 0, 1.0
    for word in re.findall(r"n't|[\w'-]+?(?=n't)|[\w'-]+|[,;.!?]", text):
        if contrast and word in ("but", "yet", "however"):
            total = 0.0  # the words after "but" give the opinion
        value = weight * ((word in GOOD) - (word in BAD))
        total += -value if flip else value
        weight = 2.0 if degree and word in STRONG else 1.0
        if negation and word in NEGATORS:
            flip = 4  # a negation changes the sign of the next three words of its clause
        flip = 0 if word in ",;.!?" else max(flip - 1, 0)
    return -abs(total) if asks(prompt, "sarcas|iron") and IRONY.search(text) else total


def classify(prompt: str, text: str) -> str:
    """Built-in evaluator for mr: it counts good and bad words, and answers only with labels in the prompt.

    If the prompt mentions negation, contrast ("but"), degree/intensity or sarcasm/irony, that rule is
    switched on. If good and bad words are equally many, the label that the prompt names first is the
    answer, because the order would influence a real model too.
    """
    mentions = MENTION.finditer(prompt.casefold())
    named = ["positive" if mention["good"] else "negative" for mention in mentions]
    score = sentiment(prompt, text)
    if score > 0:
        label = "positive"
    elif score < 0:
        label = "negative"
    else:
        label = named[0] if named else ""
    return label if label in named else "I cannot tell."


def summarise(prompt: str, text: str) -> str:
    """Built-in evaluator for sum: it repeats some turns of a chat, by default only the last one.

    Words in the prompt switch rules on. "summar…", "gist": repeat all turns. "short", "brief", "concise",
    "one sentence": leave out questions. "main", "important", "key", "essential": leave out the shortest
    turn, such as "Fine, thanks.". "who", "speaker", "name": keep the speakers' names, which the references
    have too.
    """
    turns = [turn for turn in text.splitlines() if turn.strip()]
    if not asks(prompt, "summar|gist|sum up"):
        turns = turns[-1:]
    if asks(prompt, "short|brief|concise|one sentence"):
        turns = [turn for turn in turns if not turn.endswith(("?", "\uff1f"))] or turns
    if asks(prompt, "main|important|key|essential") and len(turns) > 1:
        turns.remove(min(turns, key=len))
    names = asks(prompt, "who|speaker|name")
    return " ".join(t.replace(": ", " ", 1) if names else re.sub(r"^\w+: ", "", t) for t in turns)


def simplify(prompt: str, text: str) -> str:
    """Built-in evaluator for sim: it repeats the text, by default without a change.

    Words in the prompt switch rules on. "simpl…", "plain", "easy": replace words by simpler ones. "short",
    "remove", "omit", "detail": leave out brackets, and relative clauses between commas.
    """
    if asks(prompt, "short|remov|omit|detail"):
        text = re.sub(r"\s*\([^)]*\)|, (?:which|who|whose)\b[^,.]*(?:,|(?=\.))", "", text)
    if asks(prompt, "simpl|plain|eas[yi]"):
        text = re.sub(r"\w+", lambda word: PLAIN.get(word[0], word[0]), text)
    return text


# ---------------------------------------------------------------- an endpoint as the evaluator
class EveryStatusIsAReply(urllib.request.HTTPErrorProcessor):
    """Returns every HTTP reply as it is.

    So urllib neither raises for an HTTP error nor follows a redirect, to which it would send the API key.
    """

    def http_response(self, request: urllib.request.Request, response: Any) -> Any:
        """Return the reply, whatever its status is."""
        return response

    https_response = http_response


OPENER = urllib.request.build_opener(EveryStatusIsAReply)
JITTER = random.SystemRandom()  # random.random() would change the training's random numbers
CACHED = 4096  # answers that are kept


@dataclass
class Endpoint:
    """An OpenAI-compatible chat endpoint with a frozen model. Calling the object answers a batch."""

    url: str  # of the completions call, without credentials
    model: str
    api_key: str = field(default="", repr=False)
    timeout: float = 60.0
    retries: int = 4
    concurrency: int = 8
    pause: float = 0.5  # seconds before the first retry, doubled for each further one
    cache: dict[Pair, str] = field(default_factory=dict, repr=False)

    def __call__(self, pairs: Sequence[Pair]) -> list[str]:
        """The answers in the order of ``pairs``. Equal pairs are sent to the endpoint once."""
        new = [pair for pair in dict.fromkeys(pairs) if pair not in self.cache]
        with ThreadPoolExecutor(self.concurrency) as pool:
            fresh = dict(zip(new, pool.map(self.ask, new), strict=True))
        known = {**self.cache, **fresh}
        self.cache = dict(list(known.items())[-CACHED:])  # the newest ones
        return [known[pair] for pair in pairs]

    def ask(self, pair: Pair) -> str:
        """The model's answer to one pair. Raises EvaluatorError if all retries fail."""
        content = f"{pair[0]}\n\nInput: {pair[1]}\nOutput:"
        body = {
            "model": self.model,
            "messages": [{"role": "user", "content": content}],
            "temperature": 0,
            "max_tokens": 512,
        }
        problem, wait = "", 0.0
        for attempt in range(self.retries + 1):
            if attempt:
                time.sleep(max(wait, self.pause * 2 ** (attempt - 1) * JITTER.uniform(0.5, 1.5)))
            try:
                status, headers, reply = self.post(json.dumps(body).encode())
            except (OSError, http.client.HTTPException) as error:
                problem, wait = f"{type(error).__name__}: {error}", 0.0
                continue
            if status == 200:
                return self.content(reply)
            problem, wait = f"HTTP {status}: {reply}", retry_after(headers)
            if status != 429 and status < 500:
                raise self.error(problem, attempt + 1)
        raise self.error(problem, self.retries + 1)

    def post(self, body: bytes) -> tuple[int, Mapping[str, str], str]:
        """One request: status, headers and text of the reply."""
        headers = {"Content-Type": "application/json"}
        if self.api_key:
            headers["Authorization"] = f"Bearer {self.api_key}"
        request = urllib.request.Request(self.url, body, headers)
        with OPENER.open(request, timeout=self.timeout) as response:
            return response.status, response.headers, response.read().decode("utf-8", "replace")

    def content(self, reply: str) -> str:
        """The answer in a chat completion. Empty if the completion has no text (only reasoning)."""
        try:
            return str(json.loads(reply)["choices"][0]["message"]["content"] or "")
        except (ValueError, LookupError, TypeError):
            raise self.error(f"not a chat completion: {reply}", 1) from None

    def error(self, problem: str, attempts: int) -> EvaluatorError:
        """The exception to raise. The API key is removed from its text, because a server may repeat the key."""
        problem = problem.replace(self.api_key or "\0", "***")[:300]
        return EvaluatorError(
            f"evaluator {self.url} (model {self.model}) gave no answer in {attempts} attempt(s): "
            f"{problem}. Check that the server is up and reachable from this node, and "
            "PRL_EVALUATOR_URL, PRL_EVALUATOR_MODEL and PRL_EVALUATOR_API_KEY."
        )


def retry_after(headers: Mapping[str, str]) -> float:
    """The seconds to wait after a Retry-After header (seconds or a date), at most 120; 0 without one."""
    value = headers.get("Retry-After", "").strip()
    try:
        if value.isdigit():
            wait = float(value)
        else:
            wait = email.utils.parsedate_to_datetime(value).timestamp() - time.time()
    except ValueError:
        return 0.0
    return min(max(wait, 0.0), 120.0)


def endpoint(environ: Mapping[str, str]) -> Endpoint | None:
    """The endpoint that the environment variables name; None if they name none.

    Raises EvaluatorError for wrong or incomplete variables.
    """
    url, model, key = (
        environ.get(f"PRL_EVALUATOR_{name}", "").strip() for name in ("URL", "MODEL", "API_KEY")
    )
    if not url and not model:
        return None
    if not url or not model:
        missing = "PRL_EVALUATOR_MODEL" if url else "PRL_EVALUATOR_URL"
        raise EvaluatorError(f"{missing} is not set: the evaluator needs a URL and a model name")
    parts = urllib.parse.urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise EvaluatorError("PRL_EVALUATOR_URL must look like http://host:port/v1")
    if not (key.isascii() and key.isprintable()):
        raise EvaluatorError("PRL_EVALUATOR_API_KEY has characters that no HTTP header can carry")
    if "@" in parts.netloc:
        raise EvaluatorError("PRL_EVALUATOR_URL has a password in it: use PRL_EVALUATOR_API_KEY")
    path = re.sub(r"(/v1)?(/chat/completions)?/*$", "", parts.path) + "/v1/chat/completions"
    return Endpoint(
        f"{parts.scheme}://{parts.netloc}{path}",
        model,
        key,
        number(environ, "TIMEOUT", 60, 0.001),
        int(number(environ, "RETRIES", 4, 0)),
        int(number(environ, "CONCURRENCY", 8, 1)),
    )


def number(environ: Mapping[str, str], name: str, default: float, least: float) -> float:
    """The number in a PRL_EVALUATOR_ variable. Raises EvaluatorError if it is below ``least`` or no number."""
    text = environ.get(f"PRL_EVALUATOR_{name}", "").strip() or str(default)
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not least <= value < float("inf"):
        raise EvaluatorError(f"PRL_EVALUATOR_{name} must be a number of at least {least}: {text!r}")
    return value


# ---------------------------------------------------------------- what ms-swift calls
class PrlFormat(ORM):
    """``prl_format``: the score of the completion's shape, see ``format_score``."""

    def __call__(self, completions: Sequence[str], **_columns: Any) -> list[float]:
        """One score per completion."""
        return [format_score(completion) for completion in completions]


class TaskReward(ORM):
    """The mean score of the evaluator's answers over a row's held-out texts."""

    columns = ("sources", "references")
    built_in: Callable[[str, str], str]
    score: Callable[[str, str, Any], float]  # of (answer, text, what was wanted)

    def __init__(self, args: Any = None, **kwargs: Any) -> None:
        """Choose the evaluator when the training starts, so that a wrong setting stops the training at once."""
        if ORM.__init__ is not object.__init__:  # in ms-swift 3.x ORM takes no arguments
            super().__init__(args, **kwargs)
        own = self.built_in
        self.evaluate: Evaluate = endpoint(os.environ) or (lambda pairs: [own(*p) for p in pairs])

    def __call__(self, completions: Sequence[str], **columns: Any) -> list[float]:
        """One score per completion, 0.0 for one without a prompt. A column has one list per completion."""
        if not all(columns.get(name) and all(columns[name]) for name in self.columns):
            raise ValueError(f"every row needs the columns {self.columns}, not empty")
        texts, wanted = (columns[name] for name in self.columns)
        prompts = [extract_prompt(completion) for completion in completions]
        pairs: list[Pair] = []
        for prompt, row in zip(prompts, texts, strict=True):
            if prompt:
                pairs += [(prompt, text) for text in row]
        answers = dict(zip(pairs, self.evaluate(pairs), strict=True))
        scores = []
        for prompt, row, wants in zip(prompts, texts, wanted, strict=True):
            total = 0.0
            for text, want in zip(row, wants, strict=True):
                if prompt:
                    total += self.score(answers[prompt, text], text, want)
            scores.append(total / len(row))
        return scores


class PrlAccuracy(TaskReward):
    """``prl_accuracy``: the share of ``sentences`` for which the evaluator states the right label."""

    columns = ("sentences", "labels")
    built_in = staticmethod(classify)
    score = staticmethod(label_score)


class PrlRouge(TaskReward):
    """``prl_rouge``: ROUGE-L F1 of the summaries of ``sources`` against ``references``."""

    built_in = staticmethod(summarise)
    score = staticmethod(rouge_l)


class PrlSari(TaskReward):
    """``prl_sari``: SARI of the simplified ``sources`` against lists of ``references``."""

    built_in = staticmethod(simplify)
    score = staticmethod(sari)


orms.update(prl_format=PrlFormat, prl_accuracy=PrlAccuracy, prl_rouge=PrlRouge, prl_sari=PrlSari)
