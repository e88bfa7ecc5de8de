"""`verify` with a journal: killed and continued it reports what it would have reported; another run is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from journal_runs import killed_until_done, patience, said, same_lines, without_times

import convcli
from convcli.errors import SpecError
from convcli.plan import Network
from convcli.report.text import plain

LAYERS = 40
NAN = "verify_fakes:nan"


def write_spec(path: Path) -> Path:
    """Layers on inputs of their own; two are alike, and two give NaN with the fake."""
    lines = []
    for n in range(LAYERS):
        outs = 5 if n in {7, 31} else 6 if n in {9, 10} else 7 + n % 3
        size = 9 if n in {9, 10} else 6 + n % 11
        lines.append({"name": f"l{n}", "type": "Conv2d", "out_channels": outs, "kernel_size": [3, 2]})
        lines[-1]["input"] = [1, 2 + n % 2 if n not in {9, 10} else 2, size, size + 3]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def options(spec: Path, journal: Path) -> list[str]:
    return ["verify", str(spec), "--against", NAN, "--output", str(journal), "--dtype", "float32"]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, str, str]:
    """(the spec, the journal, the report as JSON and as text) of a run that nobody disturbs."""
    home = tmp_path_factory.mktemp("verify")
    spec, path = write_spec(home / "spec.jsonl"), home / "run.jsonl"
    report = said(*options(spec, path), "--format", "json", code=1)
    text = said("verify", str(spec), "--resume", str(path), "--against", NAN, "--dtype", "float32", code=1)
    return spec, path, report, text


def test_killed_and_resumed_is_as_if_nothing_had_happened(
    tmp_path: Path, undisturbed: tuple[Path, Path, str, str]
) -> None:
    spec, whole, report, _ = undisturbed
    path = tmp_path / "run.jsonl"

    def words(again: bool, turn: int) -> list[str]:
        own = [word if word != "--output" or not again else "--resume" for word in options(spec, path)]
        return [*own, "--jobs", str(1 + turn % 2), "--format", "json"]

    found, kills = killed_until_done(path, words, kills=5, seed=3)
    assert kills >= 2
    assert same_lines(path, whole)
    assert without_times(found) == without_times(report)


def test_explanations_stand_behind_the_results_and_are_made_again(
    tmp_path: Path, undisturbed: tuple[Path, Path, str, str]
) -> None:
    spec, whole, _, _ = undisturbed
    path = tmp_path / "run.jsonl"

    def resumed(start: bytes, *, explain: bool = True) -> bytes:
        path.write_bytes(start)
        with patience():
            convcli.verify(convcli.load(spec), against=NAN, dtypes=("float32",), resume=path, explain=explain)
        return path.read_bytes()

    data = resumed(whole.read_bytes())
    *results, one, other, end = data.splitlines(keepends=True)
    assert [json.loads(line)["explained"] for line in (one, other)] == [7, 31]
    assert b"".join(results) == b"".join(whole.read_bytes().splitlines(keepends=True)[:-3])
    for more in (one, one + other[:-1], one + other):
        assert resumed(b"".join(results) + more) == data
        path.write_bytes(b"".join(results) + more)
        with pytest.raises(SpecError, match="did not come to its end"):
            convcli.merge([path])
    assert resumed(data, explain=False) == b"".join(results) + end


def test_what_json_cannot_hold_is_there_again(undisturbed: tuple[Path, Path, str, str]) -> None:
    spec, path, report, text = undisturbed
    outcome = convcli.verify(convcli.load(spec), against=NAN, dtypes=("float32",), resume=path)
    assert any(check.max_abs_error == float("inf") for layer in outcome.layers for check in layer.checks)
    assert outcome.layers[10].reason.endswith("as l9: checked once")
    assert [layer.name for layer in outcome.layers if layer.explanation] == ["l7", "l31"]
    cut = slice(None, -1)  # the seconds
    assert plain(outcome).splitlines()[cut] == text.splitlines()[cut]
    assert [layer["status"] for layer in json.loads(report)["layers"]] == [layer.status for layer in outcome.layers]


def test_a_run_that_is_another_one_is_refused_by_name(tmp_path: Path, undisturbed: tuple[Path, Path, str, str]) -> None:
    spec, whole, _, _ = undisturbed
    network = convcli.load(spec)

    def again(network: Network = network, path: Path = whole, seed: int = 0, **more: object) -> None:
        convcli.verify(network, resume=path, seed=seed, **{"against": NAN, "dtypes": ("float32",), **more})  # type: ignore[arg-type]

    for more, words in (
        ({"seed": 1}, "seed is 0 there and 1 here"),
        ({"grad": True}, "grad is False there and True here"),
        ({"shard": "1/2"}, "shard is 1/1 there and 1/2 here"),
        ({"only": ["l1*"]}, "layers is 40 there and 11 here"),
        ({"network": Network(network.entries[::-1])}, "its layer l0 is another one here"),
    ):
        with pytest.raises(SpecError, match=words):
            again(**more)
    path = tmp_path / "run.jsonl"
    lines = whole.read_text().splitlines(keepends=True)
    path.write_text("".join([*lines[:3], "{}\n", *lines[4:]]))
    with pytest.raises(SpecError, match=r"run.jsonl:4 is not a result of convcli verify"):
        again(path=path)
