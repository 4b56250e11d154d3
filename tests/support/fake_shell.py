"""Other programs that only pretend, in place of `system.shell.run`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Union

from prl_submit.system.shell import Answer

#: An answer, something to raise, or a function of the program's words.
Said = Union[Answer, BaseException, Callable[[Sequence[str]], Answer]]


class Call(NamedTuple):
    """One call of a program, as the code under test made it."""

    argv: list[str]
    timeout: float
    environ: Mapping[str, str] | None
    stdin: str | None


class FakeShell:
    """Each program has its answers in turn and repeats its last one.

    `otherwise` is the answer of a program that has none; by default it is not installed. A program
    in `slow` takes so long that the caller's `doubt` is asked, as the real shell does.
    """

    def __init__(
        self,
        *,
        slow: Sequence[str] = (),
        otherwise: Answer | None = None,
        **answers: Said | list[Said],
    ) -> None:
        self.slow = slow
        self.otherwise = otherwise
        self.calls: list[Call] = []
        self._answers: dict[str, list[Said]] = {}
        self.says(**answers)

    def says(self, **answers: Said | list[Said]) -> None:
        """From now on these programs answer so."""
        for program, said in answers.items():
            self._answers[program] = list(said) if isinstance(said, list) else [said]

    @property
    def argvs(self) -> list[list[str]]:
        """The words of each call."""
        return [call.argv for call in self.calls]

    @property
    def programs(self) -> list[str]:
        """The program of each call."""
        return [call.argv[0] for call in self.calls]

    def environ_of(self, program: str) -> Mapping[str, str]:
        """The environment that the last call of the program was given."""
        given = [call.environ for call in self.calls if call.argv[0] == program][-1]
        assert given is not None, f"{program} inherited the environment"
        return given

    def __call__(
        self,
        argv: Sequence[str],
        *,
        timeout: float,
        environ: Mapping[str, str] | None = None,
        stdin: str | None = None,
        doubt: Callable[[], str | None] | None = None,
    ) -> Answer:
        """The program's answer to this call."""
        self.calls.append(Call(list(argv), timeout, environ, stdin))
        if argv[0] in self.slow and doubt is not None and (why := doubt()) is not None:
            return Answer(124, "", why)
        return self._next(argv)

    def _next(self, argv: Sequence[str]) -> Answer:
        answers = self._answers.get(argv[0])
        if answers is None:
            return self.otherwise or Answer(127, "", f"{argv[0]}: not installed")
        said = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(said, BaseException):
            raise said
        return said if isinstance(said, Answer) else said(argv)
