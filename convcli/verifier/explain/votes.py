"""Who is wrong: the independent forms vote. Our methods are forms of their own, and so is every other library."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from convcli.backends import REGISTERED
from convcli.verifier.explain.evidence import sides
from convcli.verifier.explain.experiment import Both, Workbench, loaded

if TYPE_CHECKING:
    from convcli.verifier.explain.experiment import Experiment

JURORS = ("torch", "onnxruntime")  # quick to start; onnx-reference and jax are the same people's or slow


def jurors(other: str) -> tuple[str, ...]:
    """The libraries that are installed and not a side themselves."""
    return tuple(name for name in JURORS if name != other and find_spec(REGISTERED[name].needs))


def said_by_jury(workbench: Workbench, experiment: Experiment, both: Both, other: str) -> dict[str, str]:
    """With whom each library agrees, on these data: "convcli", "other" or ""; those that do not answer are left out."""
    names = jurors(other)
    if not names or both.expected is None or workbench.jury is None:
        return {}
    workers = workbench.jury()
    with workbench.folder() as directory:
        task = "gradients" if experiment.backward else "result"
        args = (experiment.layer, experiment.sample, experiment.dtype, directory)
        calls = [workers.call(task, name, *args, f"jury.{name}") for name in names]
        answers: dict[str, Any] = {
            name: loaded(reply) for name, reply in zip(names, workbench.replies(calls), strict=True)
        }
        expected, found = both.expected, both.found
        return {name: sides(made, expected, found) for name, made in answers.items() if made is not None}


def sentence(said: Mapping[str, str], other: str) -> str:
    """loops, im2col and torch agree with convcli: conv is wrong. "" when nobody voted."""
    by = {side: [name for name, vote in said.items() if vote == side] for side in ("convcli", "other", "")}
    words = []
    for side, name in (("convcli", "convcli"), ("other", other)):
        if by[side]:
            words.append(f"{_and(by[side])} {_agree(by[side])} with {name}")
    if by[""]:
        words.append(f"{_and(by[''])} {_agree(by[''])} with neither")
    if not words:
        return ""
    ours, theirs = len(by["convcli"]), len(by["other"])
    wrong = other if ours > theirs else "convcli" if theirs > ours else ""
    verdict = f"{wrong} is wrong" if wrong else "it is not known who is wrong"
    return f"{', '.join(words)}: {verdict}"


def _and(names: list[str]) -> str:
    return f"{', '.join(names[:-1])} and {names[-1]}" if len(names) > 1 else names[0]


def _agree(names: list[str]) -> str:
    return "agree" if len(names) > 1 else "agrees"
