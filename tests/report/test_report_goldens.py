"""Every format of every command on one small network, to the letter."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from report_samples import (
    COMMANDS,
    benches,
    differing,
    diffs,
    gates,
    good,
    held,
    incomplete,
    outcomes,
    report,
    seen,
    self_tests,
    solved,
    told,
    zoo,
)

from convcli.report import FORMATS, render, text

if TYPE_CHECKING:
    from collections.abc import Callable

    from convcli.report import Record

CASES: dict[str, Record] = {
    **{command: report(command) for command in COMMANDS},
    "backward": report("flops", backward=True),
    "two": report("summary", "a.yaml", "b.yaml"),
    "incomplete": incomplete(report("summary", "a.yaml", "b.yaml")),
    "verify": outcomes(),
    "verify-good": good(),
    "self-test": self_tests(),
    "bench": benches(),
    "import": zoo(),
    "check": gates(),
    "check-good": held(),
    "diff": diffs(),
    "like": report("flops", like="thop"),
    "why-differs": differing(),
    **solved(),
    "receptive-field": seen(),
    "explain": told(),
}


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("case", CASES)
def test_golden(case: str, form: str, golden: Callable[[str, str], None]) -> None:
    rendered = render(CASES[case], form)
    golden(f"{case}.{form}", without_assets(rendered) if form == "html" else rendered)


def without_assets(page: str) -> str:
    """The page without its style, its script and their hashes, which are files of their own."""
    return re.sub(r"(?s)(?<=<style>).*?(?=</style>)|(?<=<script>).*?(?=</script>)|sha256-[^'&]*", "", page)


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("case", CASES)
def test_lines_end_cleanly(case: str, form: str) -> None:
    rendered = render(CASES[case], form)
    assert rendered.endswith("\n")
    assert not rendered.endswith("\n\n")
    assert [line for line in rendered.splitlines() if line != line.rstrip()] == []
    assert "\r" not in rendered


def test_verbose_and_quiet(golden: Callable[[str, str], None]) -> None:
    golden("verify-verbose.text", text.plain(outcomes(), verbose=True))
    golden("verify-quiet.text", text.plain(outcomes(), quiet=True))
    assert text.plain(good(), quiet=True) == "1 passed in 0.5 s\n"
