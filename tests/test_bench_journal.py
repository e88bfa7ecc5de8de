"""`bench` with a journal: cut anywhere and continued it is as if nothing had happened; each layer measured once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import convcli
from convcli.errors import SpecError
from convcli.plan import Network, plan
from convcli.report.json import render
from convcli.spec.build import spelled_network
from convcli.timing.course import Course, Different, different
from convcli.timing.record import LIMIT, Bench, Timed, Timing, timed
from convcli.verifier.journal import End, Header, Recording, header
from convcli.verifier.ledger import chosen

LAYERS = ("Conv2d(2, 2, 3, padding=1)", "Conv2d(2, 2, 1)", "Conv2d(2, 2, 3, padding=1)", "Conv2d(2, 3, 2)")
QUICK: dict[str, Any] = {"against": (), "seconds": 0.01}
OWN = header("bench", 0, {"layers": 3}, {"numpy": "2"})


def network(*layers: str) -> Network:
    found = spelled_network(list(layers or LAYERS))
    found.input = (1, 2, 6, 6)
    return found


def layers() -> dict[int, Different]:
    return dict(enumerate(different(chosen([plan(network())], ()))))


def finding(one: Different, by: float) -> Timing:
    """Times that nobody measured."""
    return timed(one.timing, {"numpy": [by / 3] * 3, "torch": [by / 7] * 3, LIMIT: [by / 9] * 3}, {})


def run(path: Path, *, resume: bool, own: Header = OWN, upto: int = 9) -> tuple[tuple[Timing, ...], list[int]]:
    """(the layers, the places that were measured) of a run, of its start when there are not so many."""
    measured: list[int] = []
    with Recording(None if resume else path, path if resume else None, "bench", Timed) as record:
        course = Course(layers(), record)
        course.begin(own)
        for place, one in course.cases():
            if place < upto:
                course.take(place, finding(one, 1e6 + place))
                measured.append(place)
        if upto > 2:
            record.write(End(3))
    return course.timings, measured


def test_a_run_cut_at_any_byte_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    whole, _ = run(path, resume=False)
    data = path.read_bytes()
    ends = [number for number, byte in enumerate(data, 1) if byte == ord("\n")]
    assert len(whole) == 3
    assert len(ends) == 5
    for cut in range(ends[0], len(data) + 1):
        path.write_bytes(data[:cut])
        found, measured = run(path, resume=True)
        done = sum(end <= cut for end in ends[1:4])
        assert (found, measured) == (whole, list(range(done, 3)))
        assert path.read_bytes() == data


@given(st.permutations(range(3)), st.integers(0, 3))
def test_layers_are_told_in_order_however_they_come(
    tmp_path_factory: pytest.TempPathFactory, order: list[int], upto: int
) -> None:
    """The journal holds those that are there before the first gap, the report all."""
    path, mine = tmp_path_factory.mktemp("bench") / "run.jsonl", layers()
    told: list[int] = []
    with Recording(path, None, "bench", Timed) as record:
        course = Course(mine, record, lambda done, _, __: told.append(done))
        course.begin(OWN)
        for place in order[:upto]:
            course.take(place, finding(mine[place], 1e6 + place))
    assert [one.name for one in course.timings] == [mine[place].timing.name for place in sorted(order[:upto])]
    there = [json.loads(line)["index"] for line in path.read_text().splitlines()[1:]]
    gap = next(place for place in range(4) if place not in order[:upto])
    assert there == list(range(gap))
    assert told == list(range(1, gap + 1))


def test_the_command_continues_its_own_journal(tmp_path: Path) -> None:
    """Every layer keeps the times that it had; what was not there is measured."""
    path = tmp_path / "run.jsonl"
    first = convcli.bench(network(), **QUICK, journal=path)
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:2]) + lines[2][:50])
    told: list[tuple[int, int, str]] = []
    found = convcli.bench(network(), **QUICK, resume=path, progress=lambda *done: told.append(done))
    assert [layer.name for layer in found.layers] == [layer.name for layer in first.layers]
    assert found.layers[0] == first.layers[0]
    assert found.layers[1].seconds != first.layers[1].seconds
    assert told == [(1, 3, "conv2d_1"), (2, 3, "conv2d_2"), (3, 3, "conv2d_4")]
    again = convcli.bench(network(), **QUICK, resume=path)
    assert again.layers == found.layers
    assert json.loads(path.read_text().splitlines()[-1]) == {"complete": 3}
    assert plain(again) == plain(found)


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The journal of a run."""
    path = tmp_path_factory.mktemp("bench") / "run.jsonl"
    convcli.bench(network(), **QUICK, journal=path)
    return path


def plain(record: Bench) -> Any:
    found = json.loads(render(record))
    return {**found, "seconds": 0}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"dtype": "float64"}, "dtype is float32 there and float64 here"),
        ({"seconds": 0.02}, "seconds is 0.01 there and 0.02 here"),
        ({"grad": True}, "gradients is False there and True here"),
        ({"threads": 2}, "threads is 1 there and 2 here"),
        ({"methods": ("loops",)}, "sides is numpy there and numpy loops here"),
        ({"shard": "1/2"}, "shard is 1/1 there and 1/2 here"),
        ({"only": ("conv2d_1",)}, "layers is 3 there and 1 here"),
        ({"network": network(LAYERS[1], LAYERS[0], *LAYERS[2:])}, "its layer conv2d_1 is another one here"),
        ({"network": network(*LAYERS, "Conv2d(3, 3, 1)")}, "layers is 3 there and 4 here"),
        ({"network": network(LAYERS[0], *LAYERS[:2], LAYERS[3])}, "its layer conv2d_2 is another one here"),
        ({"journal": "other.jsonl"}, "written to its own file"),
    ],
)
def test_a_run_that_is_another_one_is_refused_by_name(done: Path, options: dict[str, Any], words: str) -> None:
    before = done.read_bytes()
    given = {"network": network(), **options}
    with pytest.raises(SpecError, match=words):
        convcli.bench(given.pop("network"), **{**QUICK, **given}, resume=done)
    assert done.read_bytes() == before


def test_a_shard_is_continued_as_a_shard(tmp_path: Path) -> None:
    whole = convcli.bench(network(), **QUICK)
    for number in (1, 2):
        path = tmp_path / f"{number}.jsonl"
        first = convcli.bench(network(), **QUICK, shard=f"{number}/2", journal=path)
        lines = path.read_text().splitlines(keepends=True)
        path.write_text("".join(lines[:-2]))
        found = convcli.bench(network(), **QUICK, shard=f"{number}/2", resume=path)
        assert found.share == first.share
        assert [layer.name for layer in found.layers] == [layer.name for layer in first.layers]
        assert json.loads(path.read_text().splitlines()[-1]) == {"complete": len(whole.layers)}
