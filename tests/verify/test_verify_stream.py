"""`verify` of a stream: what a network gives, in windows; of many layers the report tells those that are bad."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from test_shards import plain
from test_verify_journal import write_spec

import convcli
from convcli.cli.options import LayerFlags
from convcli.cli.sources import layers_of
from convcli.errors import SpecError
from convcli.report import FORMATS, render
from convcli.report.text import plain as text
from convcli.spec.stream import Stream
from convcli.verifier import course, kept

NAN: dict[str, Any] = {"against": "verify_fakes:nan", "dtypes": ("float32",), "explain": False}


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(course, "WINDOW", 7)
    return write_spec(tmp_path / "spec.jsonl")


@pytest.mark.parametrize("executor", [None, "local"])
def test_a_stream_is_verified_as_the_network_is(path: Path, executor: str | None, tmp_path: Path) -> None:
    stream, journal = Stream(path, str(path)), tmp_path / "run.jsonl"
    told: list[str] = []
    outcome = convcli.verify(
        stream, **NAN, executor=executor, journal=journal, on_verdict=lambda verdict: told.append(verdict.name)
    )
    whole = plain(convcli.verify(convcli.load(path), **NAN))
    whole["layers"][10]["reason"] = ""  # in a stream nobody looks whether two layers are alike
    found = plain(outcome)
    assert found == whole
    assert told == [layer["name"] for layer in found["layers"]]
    assert plain(convcli.merge([journal]))["layers"] == found["layers"]
    lines = journal.read_text().splitlines(keepends=True)
    journal.write_text("".join(lines[:12]) + lines[12][:50])
    assert plain(convcli.verify(stream, **NAN, resume=journal, executor=executor)) == found
    assert len(journal.read_text().splitlines()) == len(lines)


def test_shards_of_a_stream_are_merged(path: Path, tmp_path: Path) -> None:
    stream, journals = Stream(path, str(path)), [tmp_path / f"{n}.jsonl" for n in range(3)]
    for n, journal in enumerate(journals):
        convcli.verify(stream, **NAN, shard=f"{n + 1}/3", journal=journal)
    assert plain(convcli.merge(journals))["layers"] == plain(convcli.verify(stream, **NAN))["layers"]


def test_of_many_layers_a_report_tells_the_bad_ones(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "MOST", 12)
    outcome = convcli.verify(Stream(path, str(path)), **{**NAN, "explain": True})
    assert [layer.name for layer in outcome.layers] == ["l7", "l31"]
    assert all(layer.explanation for layer in outcome.layers)
    assert (outcome.left_out, outcome.summary.passed, outcome.exit_code) == (38, 38, 1)
    assert "38 layers are counted and not listed" in text(outcome).splitlines()[-1]
    for form in FORMATS:
        assert "l31" in render(outcome, form)
    fine = convcli.verify(Stream(path, str(path)), **{**NAN, "against": "verify_fakes:faithful"})
    assert (fine.exit_code, fine.layers, fine.left_out) == (0, (), 40)
    assert text(fine).startswith("seed 0") or "40 passed" in text(fine)


def test_stopping_at_a_failure_counts_the_rest_as_skipped(path: Path) -> None:
    outcome = convcli.verify(Stream(path, str(path)), **NAN, fail_fast=True, jobs=1)
    assert outcome.exit_code == 1
    assert any(layer.status == "failed" for layer in outcome.layers)
    assert outcome.summary.passed + outcome.summary.failed + outcome.summary.skipped == 40


def test_names_are_found_in_a_stream(path: Path) -> None:
    outcome = convcli.verify(Stream(path, str(path)), **NAN, only=["l3*"])
    assert [layer.name for layer in outcome.layers] == ["l3", *(f"l3{n}" for n in range(10))]


def test_standard_input_is_verified_as_the_file_is(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def outcome(*files: str, data: bytes = path.read_bytes()) -> Any:
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(data)))
        return plain(convcli.verify(layers_of(LayerFlags(specs=list(files))), **NAN))

    monkeypatch.setattr("convcli.spec.stream.LEAST", 300)
    file, typed = outcome(str(path)), outcome("-")
    assert len(typed["layers"]) == len(file["layers"])
    for one, other in zip(typed["layers"], file["layers"], strict=True):
        assert (one.pop("source"), other.pop("source")) == ("<stdin>", str(path))
        assert {**one, "repro": ""} == {**other, "repro": ""}
    assert outcome(str(path), "-")["summary"]["passed"] == 2 * file["summary"]["passed"]
    with pytest.raises(SpecError, match=r"^<stdin>:40:"):
        outcome("-", data=path.read_bytes()[:-5])
