"""What a run does not say, it takes from the run that it continues, or from the defaults."""

from __future__ import annotations

from typing import Any

from convcli.errors import SpecError
from convcli.verifier.fuzz.results import Result
from convcli.verifier.journal import Earlier
from convcli.verifier.own import target


def chosen(given: dict[str, Any], resume: str | None) -> dict[str, Any]:
    """The arguments of `fuzz` from the options that were typed, None where one was not. Raises SpecError."""
    typed = {name: value for name, value in given.items() if value not in (None, [])}
    if resume is not None:
        old = Earlier(resume, "fuzz", Result).header
        typed = {**old.asked, "seed": old.seed, **typed}
        if given["cases"] is not None:
            typed.pop("duration", None)
        if given["duration"] is not None:
            typed.pop("cases", None)
        if given["kernel"] is not None:
            typed.pop("against", None)
    place, arrays = typed.pop("kernel", None), typed.pop("arrays", None)
    if place is not None and "against" in typed:
        raise SpecError("--kernel and --against exclude each other: a kernel is checked against convcli itself")
    if place is None and arrays is not None:
        raise SpecError(f"--arrays {arrays} says what --kernel is given, and there is none")
    return typed if place is None else {**typed, "kernel": target(place, arrays or "numpy")}
