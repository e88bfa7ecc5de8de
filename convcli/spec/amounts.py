"""Numbers as people write budgets: 10_000, 120M, 4.1G, 4MB, 4MiB, and +2% of what a baseline has."""

from __future__ import annotations

import re

from convcli.errors import SpecError

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
        try:
            return amount(value)
        except SpecError as error:
            (problem,) = error.problems
            raise SpecError(problem.message, allowed=f"{problem.allowed}, or +2% of the baseline") from None
    return None if baseline is None else baseline * part[0] // part[1]
