"""Shards: every case in exactly one, none with much more to do; merged they are the run that was not shared out."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from journal_runs import patience, same_lines
from test_verify_journal import write_spec

import convcli
from convcli.errors import SpecError
from convcli.report.json import render
from convcli.verifier.shard import ALWAYS, Shard, shard_of
from convcli.verifier.verdict import Outcome

N = 7
OTHER = {"against": "verify_fakes:nan", "dtypes": ("float32",)}
HURRIED: dict[str, Any] = {"against": "verify_fakes:hurried", "dtypes": ("float32",), "cases": 30}


def without_times(found: Any) -> Any:
    """The record as plain data, the same in every run."""
    if isinstance(found, dict):
        return {name: without_times(item) for name, item in found.items() if name not in {"seconds", "jobs", "threads"}}
    return [without_times(item) for item in found] if isinstance(found, list | tuple) else found


def plain(record: msgspec.Struct) -> Any:
    return without_times(msgspec.to_builtins(record))


@given(st.lists(st.tuples(st.integers(0, 9) | st.none(), st.integers(0, 10**9))), st.integers(1, 9))
def test_every_case_is_in_one_shard_equal_ones_together(cases: list[tuple[int | None, int]], count: int) -> None:
    cases = [(key, macs if key is None else 7**key) for key, macs in cases]
    ours = [list(Shard(number, count).of(cases)) for number in range(1, count + 1)]
    assert all(sum(column) == 1 for column in zip(*ours, strict=True))
    for key in range(10):
        homes = {
            column.index(True) for column, case in zip(zip(*ours, strict=True), cases, strict=True) if case[0] == key
        }
        assert len(homes) <= 1
    loads: list[int] = []
    for own in ours:
        mine = dict.fromkeys(
            (n if key is None else f"key {key}", macs) for n, (key, macs) in enumerate(cases) if own[n]
        )
        loads.append(sum(ALWAYS + macs for _, macs in mine))
    assert max(loads) - min(loads) <= ALWAYS + max((macs for _, macs in cases), default=0)


@pytest.mark.parametrize("text", ["0/3", "4/3", "3", "1/0", "-1/2", "a/b", "", "1/2/3"])
def test_what_is_no_shard_is_refused(text: str) -> None:
    with pytest.raises(SpecError, match="is no shard"):
        shard_of(text)


@pytest.fixture(scope="module", autouse=True)
def patient() -> Iterator[None]:
    """What is compared here holds explanations."""
    with patience():
        yield


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Outcome, list[Path], list[Path]]:
    """(the spec, the outcome of the whole, each shard's report, each shard's journal)"""
    home = tmp_path_factory.mktemp("shards")
    network = convcli.load(write_spec(home / "spec.jsonl"))
    reports, journals = [home / f"{n}.json" for n in range(N)], [home / f"{n}.jsonl" for n in range(N)]
    for n in range(N):
        shard = convcli.verify(network, shard=f"{n + 1}/{N}", journal=journals[n], **OTHER)  # type: ignore[arg-type]
        reports[n].write_text(render(shard))
    whole = convcli.verify(network, **OTHER, journal=home / "whole.jsonl")  # type: ignore[arg-type]
    return home / "spec.jsonl", whole, reports, journals


def test_merged_shards_of_verify_are_the_whole(shards: tuple[Path, Outcome, list[Path], list[Path]]) -> None:
    _, whole, reports, journals = shards
    merged = convcli.merge(reports[::-1])
    told = json.loads(render(whole))
    assert without_times(json.loads(render(merged))) == without_times(told)
    assert sum("explanation" in layer for layer in told["layers"]) == 2
    again = json.loads(render(convcli.merge(journals)))
    assert without_times(again) == without_times(told)


def test_the_merged_journal_is_the_wholes(shards: tuple[Path, Outcome, list[Path], list[Path]], tmp_path: Path) -> None:
    spec, whole, reports, journals = shards
    path = tmp_path / "run.jsonl"
    convcli.merge(journals, journal=path)
    assert same_lines(path, spec.with_name("whole.jsonl"))
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:20]))
    resumed = convcli.verify(convcli.load(spec), **OTHER, resume=path)  # type: ignore[arg-type]
    assert plain(resumed) == plain(whole)
    with pytest.raises(SpecError, match=r"0\.json is a JSON report, and a journal is made of journals"):
        convcli.merge(reports, journal=path)


def test_gaps_and_duplicates_and_other_runs_are_refused_by_name(
    shards: tuple[Path, Outcome, list[Path], list[Path]], tmp_path: Path
) -> None:
    spec, _, reports, journals = shards

    def refused(files: list[Path], words: str) -> None:
        with pytest.raises(SpecError, match=words):
            convcli.merge(files)

    refused(reports[:2] + reports[3:], r"shard 3/7 is not there: \d+ results are missing: ")
    refused([*reports, reports[1]], r"results are there twice: l\d+ is in .*1\.json and in .*1\.json")
    refused([reports[-1], *journals[:-1], journals[2]], "are there twice")
    torn, other, text = tmp_path / "torn.jsonl", tmp_path / "other.json", reports[0].read_text()
    torn.write_bytes(journals[0].read_bytes()[:-9])
    refused([torn, *journals[1:]], "did not come to its end; allowed: convcli verify --resume")
    other.write_text(text.replace('"numpy": "', '"numpy": "9.'))
    refused([other, *reports[1:]], r"1\.json beside .*other\.json is another one: numpy is 9\.")
    other.write_text(text.replace('"convcli": "', '"convcli": "9.'))
    refused([reports[1], other], r"other\.json beside .* convcli is .* and 9\.")
    other.write_text(text.replace('"seed": 0', '"seed": 4'))
    refused([reports[1], other], "seed is 0 there and 4 here")
    other.write_text(text.replace(f'/{N}"', '/5"'))
    refused([reports[1], other], "is one of 7 shards, .* one of 5")
    for wrong in (
        "",
        "{}",
        "[1",
        text[:400],
        '{"schema": 1, "command": "summary"}',
        '{"schema": 1, "command": "fuzz"}',
    ):
        other.write_text(wrong)
        refused([other], "report of")
    refused([tmp_path / "none"], "cannot read")
    refused([], "nothing to merge")
    refused([spec], "no report of convcli")


def test_merged_shards_of_fuzz_are_the_whole(tmp_path: Path) -> None:
    whole = convcli.fuzz(["conv", "separable"], **HURRIED)
    counted = Counter[str]()
    journals = []
    for n in range(N):
        journals.append(tmp_path / f"{n}.jsonl")
        shard = convcli.fuzz(["conv", "separable"], **HURRIED, shard=f"{n + 1}/{N}", journal=journals[-1])
        assert shard.shard == f"{n + 1}/{N}"
        counted.update(status for kind in shard.kinds for status in Counter(kind.statuses).elements())
    assert counted.total() == whole.cases == 60
    merged = plain(convcli.merge(journals))
    assert merged == plain(whole)
    with pytest.raises(SpecError, match="shard 1/7 is not there"):
        convcli.merge(journals[1:])
    journals[3].write_text(journals[2].read_text())
    with pytest.raises(SpecError, match="results are there twice"):
        convcli.merge(journals)
    with pytest.raises(SpecError, match="--shard"):
        convcli.fuzz(["conv"], duration=1.0, shard="1/2", against="verify_fakes:faithful")


def test_one_journal_alone_becomes_its_report(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    whole = convcli.fuzz(["conv"], **HURRIED, journal=path)
    assert plain(convcli.merge([path])) == plain(whole)


def test_merged_shards_of_bench_are_the_whole(
    tmp_path: Path, shards: tuple[Path, Outcome, list[Path], list[Path]]
) -> None:
    network = convcli.load(shards[0])
    network.entries = network.entries[5:13]  # 9 and 10 are alike
    options: dict[str, Any] = {"against": (), "seconds": 0.001}
    whole = convcli.bench(network, **options, journal=tmp_path / "whole.jsonl")
    reports, journals = [tmp_path / f"{n}.json" for n in range(3)], [tmp_path / f"{n}.jsonl" for n in range(3)]
    for n in range(3):
        shard = convcli.bench(network, **options, shard=f"{n + 1}/3", journal=journals[n])
        reports[n].write_text(render(shard))
    merged = convcli.merge(reports)
    path = tmp_path / "merged.jsonl"
    again = convcli.merge(journals, journal=path)
    assert [(layer.name, layer.macs, layer.count) for layer in merged.layers] == [  # type: ignore[union-attr]
        (layer.name, layer.macs, layer.count) for layer in whole.layers
    ]
    assert (merged.totals.layers, merged.totals.macs) == (whole.totals.layers, whole.totals.macs)  # type: ignore[union-attr]
    assert merged.share is msgspec.UNSET  # type: ignore[union-attr]
    for other in (again, convcli.merge([path]), convcli.merge([reports[0], *journals[1:]])):
        assert msgspec.structs.replace(other, seconds=0.0, environment={}) == msgspec.structs.replace(
            merged, seconds=0.0, environment={}
        )
    keys = [
        [json.loads(line).get("key") for line in file.read_text().splitlines()]
        for file in (path, tmp_path / "whole.jsonl")
    ]
    assert keys[0] == keys[1]
    resumed = convcli.bench(network, **options, resume=path)
    assert resumed.layers == merged.layers  # type: ignore[union-attr]
    for files in (reports, journals):
        with pytest.raises(SpecError, match="results are missing"):
            convcli.merge(files[1:])
