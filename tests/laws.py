"""One law, run as a short test by default and as a sweep of the same body when `-m long` asks for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import pytest
from hypothesis import given, settings
from hypothesis.strategies import SearchStrategy

from convcli import Problem, SpecError

T = TypeVar("T")


def examples(quick: int, long: int) -> pytest.MarkDecorator:
    """Parametrise a test by `count`: `quick` examples, and `long` of them under the mark of that name."""
    return pytest.mark.parametrize(
        "count", [pytest.param(quick, id="quick"), pytest.param(long, id="long", marks=pytest.mark.long)]
    )


def holds(law: Callable[[T], Any], drawn: SearchStrategy[T], count: int) -> None:
    """Check `law` on `count` drawn examples."""
    settings(max_examples=count)(given(drawn)(law))()


@contextmanager
def refused_at_most(told: Callable[[Problem], object] = lambda problem: problem.message) -> Iterator[None]:
    """What is inside succeeds, or raises a SpecError of whose problems `told` is true; anything else fails the test."""
    try:
        yield
    except SpecError as error:
        wanting = [problem for problem in error.problems if not told(problem)]
        if wanting or not error.problems:
            raise AssertionError(f"a SpecError that does not say enough: {wanting}") from error
