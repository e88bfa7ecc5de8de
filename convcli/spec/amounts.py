"""Numbers as people write budgets: 10_000, 120M, 4.1G, 4MB, 4MiB, and +2% of what a baseline has."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from convcli.errors import Problem, SpecError

AMOUNT = re.compile(r"(\d{1,19})(?:\.(\d{1,9}))?\s*([kKMGTP]?)(i?)([Bb]?)", re.ASCII)
PERCENT = re.compile(r"([+-])[ ]?(\d{1,6})(?:\.(\d{1,6}))?[ ]?%", re.ASCII)
POWERS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4, "p": 5}


def amount(value: int | str) -> int:
    """The whole number that `value` says; K, M, G, T, P are powers of 1000, of 1024 with an i. Raises SpecError."""
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    match = AMOUNT.fullmatch(str(value).replace("_", "").strip())
    if match is None or isinstance(value, bool):
        raise SpecError(
            f"{value!r} is not an amount", allowed="a number of at least 0, as in 10_000, 120M, 4MB or 4MiB"
        )
    whole, fraction, prefix, binary, _ = match.groups()
    scale: int = (1024 if binary else 1000) ** POWERS[prefix.lower()]
    digits = fraction or ""
    tenths: int = 10 ** len(digits)
    return int(whole + digits) * scale // tenths


def share(value: int | str) -> tuple[int, int] | None:
    """+2% as the fraction (102, 100) of the baseline that it allows; None for what is no such change."""
    match = PERCENT.fullmatch(str(value).strip())
    if match is None:
        return None
    sign, whole, fraction = match.groups()
    digits = fraction or ""
    hundred = 100 * 10 ** len(digits)
    part = int(whole + digits)
    return (hundred + part if sign == "+" else max(hundred - part, 0)), hundred


def limit(value: int | str, baseline: int | None = None) -> int | None:
    """The most that a budget allows: its amount, or its share of the baseline, rounded down; None without that one.

    Raises SpecError for what is neither.
    """
    part = share(value)
    if part is None:
        return amount(value)
    return None if baseline is None else baseline * part[0] // part[1]


def budget_of(fields: Any) -> dict[str, int | str] | None:
    """The `budget` of a spec or of one of its layers, as it was written. Raises SpecError for what are no amounts."""
    if fields.budget is None:
        return None
    written: dict[str, int | str] = msgspec.to_builtins(fields.budget)
    problems: list[Problem] = []
    for name, value in written.items():
        try:
            limit(value)
        except SpecError as error:
            problems.extend(error.at("budget", name).problems)
    if problems:
        raise SpecError(problems=tuple(problems))
    return written
