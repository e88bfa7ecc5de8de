"""Journals of shards, read line by line: merged they are the whole run's; what is missing or twice is told by name."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_shards import plain

import convcli
from convcli.errors import SpecError
from convcli.verifier import kept
from convcli.verifier.fuzz.results import Result
from convcli.verifier.journal import End, Explained, Line, header, line_of
from convcli.verifier.verdict import Check, Explanation, LayerVerdict, Status

KINDS = ["conv", "separable"]
ASKED: dict[str, dict[str, Any]] = {"verify": {"dtypes": ["float32"]}, "fuzz": {"kinds": KINDS}}


def line(command: str, place: int) -> msgspec.Struct:
    """A result: every fifth failed."""
    bad = place % 5 == 4
    status = Status.FAILED if bad else Status.PASSED
    check = Check("forward", "exact", status, "float32", seconds=0.5)
    verdict = LayerVerdict(f"l{place}", "Conv2d", status, (check,), "convcli verify", seconds=0.5)
    if command == "verify":
        told = msgspec.structs.replace(verdict, checks=(msgspec.structs.replace(check, max_abs_error=None),))
        return Line(place, f"key{place}", told, (1,), ("0.max_abs_error",) if bad else ())
    index, kind = divmod(place, len(KINDS))
    return Result(f"{KINDS[kind]}:{index}", f"key{place}", KINDS[kind], index, "Conv2d(1, 1, 1)", (1, 1, 4, 4), status,
                  verdict=verdict if bad else None, seconds=place / 2)  # fmt: skip


def write(path: Path, command: str, shard: str, places: Sequence[int], of: int, *, end: bool = True) -> Path:
    """A journal of these results; of `verify` the bad ones are explained."""
    lines = [header(command, 0, {**ASKED[command], "shard": shard}, {"numpy": "2"})]
    results: list[msgspec.Struct] = [line(command, place) for place in places]
    if command == "verify":
        results += [Explained(place, Explanation("forward", votes=f"of {place}")) for place in places if place % 5 == 4]
    path.write_bytes(b"".join(map(line_of, [*lines, *results, *[End(of)] * end])))
    return path


homes = st.lists(st.integers(1, 4), min_size=1, max_size=40)


@pytest.mark.parametrize("command", ["verify", "fuzz"])
@pytest.mark.parametrize("most", [10_000, 12])
@given(homes)
def test_the_whole_is_the_run_that_nobody_shared_out(command: str, most: int, homes: list[int]) -> None:
    with TemporaryDirectory() as home, pytest.MonkeyPatch.context() as patched:
        patched.setattr(kept, "MOST", most)
        places = range(len(homes))
        whole = write(Path(home) / "whole.jsonl", command, "1/1", places, len(homes))
        shards = [
            write(Path(home) / f"{n}.jsonl", command, f"{n}/4", [p for p in places if homes[p] == n], len(homes))
            for n in range(1, 5)
        ]
        again = Path(home) / "again.jsonl"
        merged = convcli.merge(shards, journal=again)
        assert again.read_bytes() == whole.read_bytes()
        assert plain(merged) == plain(convcli.merge([whole], journal=whole)) == plain(convcli.merge([again]))
        assert again.read_bytes() == whole.read_bytes()
        assert not list(Path(home).glob(".*"))
    bad = len(homes) // 5
    assert (merged.summary.failed, merged.summary.passed) == (bad, len(homes) - bad)  # type: ignore[union-attr]
    if command == "verify":
        few = len(homes) <= most
        assert len(merged.layers) == (len(homes) if few else bad)  # type: ignore[union-attr]
        explained = [layer.explanation.votes for layer in merged.layers if layer.explanation]  # type: ignore[union-attr]
        assert explained == [f"of {place}" for place in range(len(homes)) if place % 5 == 4]
        assert merged.summary.seconds == len(homes) / 2  # type: ignore[union-attr]


@given(st.lists(st.lists(st.sampled_from([1, 2, 3]), max_size=3), min_size=1, max_size=40))
def test_gaps_and_duplicates_are_counted_and_the_first_named(homes: list[list[int]]) -> None:
    twice = sum(max(0, len(shards) - 1) for shards in homes)
    missing = [place + 1 for place, shards in enumerate(homes) if not shards]
    if not twice and not missing:
        return
    if twice:
        name, *_ = (f"l{place} is in" for place, shards in enumerate(homes) if len(shards) > 1)
        words = f"{twice} results are there twice: {name}"
    else:
        more = f" and {len(missing) - 5} more" if len(missing) > 5 else ""
        words = f"{len(missing)} results are missing: {', '.join(map(str, missing[:5]))}{more}, of {len(homes)}"
    with TemporaryDirectory() as home:
        files = [
            write(
                Path(home) / f"{n}.jsonl",
                "verify",
                f"{n}/3",
                [place for place, shards in enumerate(homes) for shard in shards if shard == n],
                len(homes),
            )
            for n in (1, 2, 3)
        ]
        out = Path(home) / "whole.jsonl"
        with pytest.raises(SpecError, match=re.escape(words)):
            convcli.merge(files, journal=out)
        assert sorted(Path(home).iterdir()) == files


def test_what_is_no_run_in_order_is_refused_by_name(tmp_path: Path) -> None:
    one, two = (write(tmp_path / f"{n}.jsonl", "verify", f"{n}/2", [n - 1, n + 1], 4) for n in (1, 2))
    old = tmp_path / "old.jsonl"
    old.write_text("old")
    lines = two.read_bytes().splitlines(keepends=True)
    for words, found in (
        (r"2\.jsonl: l1 stands behind a later result; allowed: journals as they were written", [0, 2, 1, 3]),
        (r"2\.jsonl:5 is a result behind the end of the run", [0, 1, 2, 3, 1]),
        (r"2\.jsonl did not come to its end; allowed: convcli verify --resume .*2\.jsonl finishes it", [0, 1, 2]),
        (r"1 results are missing: 2, of 4", [0, 2, 3]),
    ):
        two.write_bytes(b"".join(lines[number] for number in found))
        with pytest.raises(SpecError, match=words):
            convcli.merge([one, two], journal=old)
        assert old.read_text() == "old"
    two.write_bytes(b"".join(lines[:2]) + b'{"complete": "x"}\n' + lines[3])
    with pytest.raises(SpecError, match=r"2\.jsonl:3 is not a result of convcli verify"):
        convcli.merge([one, two])
    two.write_bytes(b"".join(lines))
    assert convcli.merge([two, one]).summary.passed == 4  # type: ignore[union-attr]
    with pytest.raises(SpecError, match="cannot write"):
        convcli.merge([two, one], journal=tmp_path / "none" / "whole.jsonl")
