"""What `diff` says of two networks: laws of matching, totals that are sums, and what each edit is called."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from gate_drawn import Layers, edited, layer, layers, net, numbers
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET

import convcli
from convcli import SpecError
from convcli.gate.changes import LayerChange, NetworkChange, change, percent
from convcli.gate.matching import common, moved, pairs
from convcli.gate.numbers import KEYS
from convcli.records import Report, summarize
from convcli.report import render


def change_of(before: Layers, after: Layers, **flags: bool) -> NetworkChange:
    return change(numbers(before), numbers(after), **flags)


def told(before: Layers, after: Layers) -> list[tuple[str, str | None, str | None]]:
    """(status, renamed and moved; the name before; the name after) of every layer that differs."""
    found = []
    for one in change_of(before, after).layers:
        words = " ".join([one.status, *(["renamed"] if one.renamed else []), *(["moved"] if one.moved else [])])
        names = [None if side is UNSET else side.name for side in (one.before, one.after)]
        found.append((words, names[0], names[1]))
    return found


# Laws


@given(layers())
def test_a_network_does_not_differ_from_itself(found: Layers) -> None:
    same = change_of(found, found)
    assert not same.differs
    assert same.layers == ()
    assert same.unchanged == len(found)
    everything = change_of(found, found, everything=True)
    assert [one.status for one in everything.layers] == ["same"] * len(found)


@given(edited())
def test_the_totals_differ_by_what_the_layers_differ_by(both: tuple[Layers, Layers]) -> None:
    found = change_of(*both)
    for key in KEYS:
        assert getattr(found.totals, key).difference == sum(getattr(one, key).difference for one in found.layers)


@given(edited())
def test_matching_does_not_care_which_comes_first(both: tuple[Layers, Layers]) -> None:
    before, after = (numbers(one).layers for one in both)
    forth, back = pairs(before, after), pairs(after, before)
    assert sorted(forth) == sorted((i, j) for j, i in back)
    assert len({i for i, _ in forth}) == len({j for _, j in forth}) == len(forth)


@given(edited())
def test_the_change_back_undoes_the_change(both: tuple[Layers, Layers]) -> None:
    forth, back = change_of(*both), change_of(*reversed(both))
    for key in KEYS:
        assert getattr(forth.totals, key).difference == -getattr(back.totals, key).difference
    opposite = {"added": "removed", "removed": "added"}
    said = sorted(opposite.get(one.status, one.status) for one in forth.layers if one.status != "same")
    assert said == sorted(one.status for one in back.layers if one.status != "same")


@given(edited())
def test_every_layer_of_both_sides_is_told_of_once(both: tuple[Layers, Layers]) -> None:
    found = change_of(*both, everything=True)
    before, after = (numbers(one) for one in both)
    assert sorted(one.before.name for one in found.layers if one.before is not UNSET) == sorted(
        one.name for one in before.layers
    )
    assert [one.after.name for one in found.layers if one.after is not UNSET] == [one.name for one in after.layers]


@given(st.text("abc", max_size=9), st.text("abc", max_size=9))
def test_a_common_subsequence_is_as_long_as_any(first: str, second: str) -> None:
    def longest(a: str, b: str) -> int:
        if not a or not b:
            return 0
        if a[0] == b[0]:
            return 1 + longest(a[1:], b[1:])
        return max(longest(a[1:], b), longest(a, b[1:]))

    found = common(first, second)
    assert all(first[i] == second[j] for i, j in found)
    assert found == sorted(found)
    assert len({j for _, j in found}) == len(found) == longest(first, second)
    assert [(i, j) for j, i in common(second, first)] == found


@given(st.permutations(range(7)))
def test_what_did_not_move_stands_in_one_order(places: list[int]) -> None:
    found = list(enumerate(places))
    staying = [j for i, j in found if (i, j) not in moved(found)]
    assert staying == sorted(staying)
    longest = max(
        (sum(1 for _ in run) for run in _rising(places)),
        default=0,
    )
    assert len(staying) == longest


def _rising(places: list[int]) -> Any:
    """Every rising subsequence."""
    for chosen in range(2 ** len(places)):
        run = [place for at, place in enumerate(places) if chosen >> at & 1]
        if run == sorted(run):
            yield run


@given(st.integers(1, 10**40), st.integers(-(10**40), 10**40))
def test_percent_is_rounded_to_two_digits(start: int, difference: int) -> None:
    found = percent(start, difference)
    assert isinstance(found, float)
    assert abs(found - 100 * difference / start) <= 0.005 + 1e-12 * abs(found)


def test_percent_of_nothing_is_not_told() -> None:
    assert percent(0, 5) is UNSET
    assert percent(1, 10**400) is UNSET


# What each edit is called

A, B, C = layer(4, name="a"), layer(5, name="b"), layer(6, name="c")


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ([A, B], [A, C, B], [("added", None, "c"), ("changed", "b", "b")]),
        ([A, B], [A], [("removed", "b", None)]),
        ([A, B], [A, {**B, "kernel_size": 1, "padding": 0}], [("changed", "b", "b")]),
        ([A, B], [A, {**B, "name": "z"}], [("same renamed", "b", "z")]),
        ([{"type": "ReLU", "name": "r"}, A], [A, {"type": "ReLU", "name": "r"}], ...),
        (  # a name that only counts is no name: nothing but the new layer differs
            [layer(4), {"type": "ReLU"}, layer(4), {"type": "ReLU"}],
            [layer(4), {"type": "ReLU"}, layer(4), {"type": "ReLU"}, layer(4), {"type": "ReLU"}],
            [("added", None, "conv2d_5"), ("added", None, "relu_6")],
        ),
        (  # one layer stands in for another: same place, same output
            [layer(4), {"type": "ReLU"}],
            [layer(4, type_="SeparableConv2d"), {"type": "ReLU"}],
            [("changed", "conv2d_1", "separableconv2d_1")],
        ),
        ([layer(4, name="features.0")], [layer(7, name="features.3")], [("changed", "features.0", "features.3")]),
    ],
)
def test_an_edit_is_called_what_it_is(before: Layers, after: Layers, said: Any) -> None:
    found = told(before, after)
    if said is ...:
        assert [words for words, *_ in found if "moved" in words]
        assert not [words for words, *_ in found if words in {"added", "removed"}]
    else:
        assert found == said


def test_a_layer_that_moved_is_found_again() -> None:
    same = [{**A, "out_channels": 2}, {**B, "out_channels": 2}, {**C, "out_channels": 2}]
    found = change_of(same, [same[1], same[2], same[0]])
    (one,) = found.layers
    assert (one.status, one.moved, one.renamed) == ("same", True, False)
    assert one.after is not UNSET
    assert one.after.name == "a"
    assert found.differs


def test_separable_against_standard() -> None:
    found = convcli.diff("Conv2d(3, 4, 3, bias=False)", "SeparableConv2d(3, 4, 3, bias=False)", input=(1, 3, 8, 8))
    (one,) = found.networks
    params = one.totals.params
    assert params is not UNSET
    assert (params.before, params.after, params.difference, params.percent) == (108, 39, -69, -63.89)
    text = render(found, "text")
    assert "108 -> 39" in text
    assert "-69" in text


# What it compares


def report_of(path: Path, command: Any = "summary", **flags: Any) -> Report:
    report = summarize(net([A, B]), command=command, **flags)
    path.write_text(render(report, "json"))
    return report


@pytest.mark.parametrize("command", ["shape", "params", "flops", "summary"])
def test_a_saved_report_is_a_side(tmp_path: Path, command: str) -> None:
    saved = tmp_path / "saved.json"
    report_of(saved, command)
    spec = tmp_path / "net.json"
    spec.write_text(json.dumps({"name": "net", "input": [1, 2, 6, 5], "layers": [A, {**B, "out_channels": 9}]}))
    (one,) = convcli.diff(saved, spec).networks
    assert [layer.status for layer in one.layers] == ["changed"]
    known = {key for key in KEYS if getattr(one.totals, key) is not UNSET}
    assert (
        known
        == {
            "shape": set(),
            "params": {"params", "weight_bytes"},
            "flops": {"macs", "flops", "activation_bytes", "weight_bytes"},
            "summary": set(KEYS),
        }[command]
    )


def test_a_saved_report_tells_how_it_counts(tmp_path: Path) -> None:
    saved = tmp_path / "saved.json"
    report = report_of(saved, dtype="float16", convention="strict")
    found = convcli.diff(saved, net([A, B]))
    assert found.dtype == "float16"
    assert not found.differs
    assert not convcli.diff(report, saved).differs
    with pytest.raises(SpecError, match="bytes for float16"):
        convcli.diff(saved, net([A, B]), dtype="float32")


def test_several_networks_go_by_their_sources() -> None:
    first = summarize(net([A], "a.yaml"), net([B], "b.yaml"), net([A], "gone.yaml", name="gone"))
    second = summarize(net([B, C], "b.yaml"), net([A], "a.yaml"), net([C], "new.yaml", name="new"))
    found = convcli.diff(first, second)
    ends = [(one.before.source, one.after.source) for one in found.networks]
    assert ends == [("a.yaml", "a.yaml"), ("b.yaml", "b.yaml"), ("gone.yaml", ""), ("", "new.yaml")]
    for one in found.networks:
        for key in KEYS:
            layers_: tuple[LayerChange, ...] = one.layers
            assert getattr(one.totals, key).difference == sum(getattr(each, key).difference for each in layers_)


def test_the_report_of_another_command_is_refused(tmp_path: Path) -> None:
    saved = tmp_path / "saved.json"
    saved.write_text('{"schema": 1, "convcli": "0.1.0", "command": "verify", "layers": []}')
    with pytest.raises(SpecError, match="the report of `verify`"):
        convcli.diff(saved, saved)


def test_an_input_that_differs_is_a_difference() -> None:
    found = convcli.diff(net([A]), net([A], input=[1, 2, 7, 5]))
    assert found.differs
    assert "input 1x2x6x5 -> 1x2x7x5" in render(found, "text")
