"""The bars of what layers cost, counted in the SVG's own elements and held against the calculator's records."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree as ET

import pytest
from hypothesis import strategies as st
from laws import examples, holds
from msgspec import UNSET
from picture_elements import SVG, check, elements
from random_networks import random_network

import convcli
from convcli.pictures.costs import BAR, COLUMNS, MOST_ROWS, costs_scene
from convcli.pictures.scene import Scene
from convcli.pictures.terminal import blocks
from convcli.plan import Plan, plan
from convcli.records import NetworkRecord, Scope, network_record
from convcli.spec.build import network

CONV = {"type": "Conv2d", "out_channels": 2, "kernel_size": 3, "padding": 1}


def planned(*layers: Any, size: int = 8, name: str = "net") -> Plan:
    return plan(network({"input": [1, 1, size, size], "name": name, "layers": list(layers)}, "net.yaml"))


def record(*layers: Any, **named: Any) -> NetworkRecord:
    return network_record(planned(*layers, **named), Scope())


def bars(root: ET.Element, panel: str) -> list[ET.Element]:
    return [one for one in root.iter(f"{SVG}rect") if one.get("data-panel") == panel]


def amounts(root: ET.Element, panel: str) -> list[tuple[str, int | None]]:
    """(layer, what it costs) by the bars' own data."""
    return [
        (b.attrib["data-label"], int(b.attrib["data-amount"]) if "data-amount" in b.attrib else None)
        for b in bars(root, panel)
    ]


@examples(40, 600)
def test_every_layer_has_a_bar_for_every_cost_as_long_as_it_is_large(count: int) -> None:
    def law(seed: int) -> None:
        found = network_record(random_network(seed), Scope())
        scene = costs_scene(found)
        check(scene)
        root = elements(scene)
        for column in COLUMNS:
            expected = [(layer.name, column.of(layer)) for layer in found.layers]
            assert amounts(root, column.name) == expected
            largest = max(int(amount or 0) for _, amount in expected)
            for bar in bars(root, column.name):
                share = int(bar.attrib["data-amount"]) / (largest or 1)
                assert float(bar.attrib["width"]) == pytest.approx(BAR * share, abs=0.01)
                assert float(bar.attrib["data-share"]) == pytest.approx(share, abs=1e-6)

    holds(law, st.integers(0, 10**6), count)


@examples(40, 600)
def test_of_many_layers_the_largest_have_bars_and_all_others_one(count: int) -> None:
    def law(case: tuple[int, int]) -> None:
        seed, most = case
        found = network_record(random_network(seed), Scope())
        root = elements(costs_scene(found, most=most))
        layers = [layer.name for layer in found.layers]
        for column, total in zip(COLUMNS, (found.totals.macs, found.totals.params, None), strict=True):
            shown = amounts(root, column.name)
            assert len(shown) == (len(layers) if len(layers) <= most else most + 1)
            assert sum(amount or 0 for _, amount in shown) == sum(int(column.of(layer) or 0) for layer in found.layers)
            assert total is None or sum(amount or 0 for _, amount in shown) == total
            names = [name for name, _ in shown]
            if len(layers) > most:
                left = len(layers) - most
                assert names.pop() == f"the other {left} layer{'s' if left > 1 else ''}"
            assert names == [name for name in layers if name in names]
            largest = max(found.layers, key=lambda layer: int(column.of(layer) or 0))
            assert most < len(COLUMNS) or column.of(largest) in [amount for _, amount in shown]

    holds(law, st.tuples(st.integers(0, 10**6), st.integers(1, 6)), count)


def test_sums_are_told_above_the_bars_and_shares_beside_them() -> None:
    root = elements(costs_scene(record(CONV, CONV)))
    texts = [text.text for text in root.iter(f"{SVG}text")]
    assert {"MACs: 3.456 k", "parameters: 58", "activations: 1.024 kB"} <= set(texts)
    assert {"1.152 k (33.3%)", "2.304 k (66.7%)", "20 (34.5%)", "512 B (50.0%)"} <= set(texts)
    titles = [one.findtext(f"{SVG}title") for one in root.iter(f"{SVG}rect")]
    assert "conv2d_2 (Conv2d): 2,304 MACs" in titles
    assert "conv2d_1 (Conv2d): 512 bytes of activations" in titles


def test_what_nobody_knows_is_said_and_makes_sums_lower_bounds() -> None:
    unknown = {"name": "what", "type": "Unknown", "operation": "topk", "shape": [1, 2, 8, 8]}
    found = record(CONV, unknown, CONV)
    scene = costs_scene(found)
    check(scene)
    root = elements(scene)
    assert amounts(root, "MACs") == [("conv2d_1", 1152), ("what", None), ("conv2d_3", 2304)]
    texts = [text.text for text in root.iter(f"{SVG}text")]
    assert "not known" in texts
    assert "MACs: at least 3.456 k" in texts
    assert scene.notes[0] == "what these cost is not known, the totals are lower bounds: what"
    assert "not known" in blocks(scene)
    fewer = elements(costs_scene(found, most=1))
    assert any((text.text or "").startswith("at least 1.152 k") for text in fewer.iter(f"{SVG}text"))
    assert costs_scene(record(CONV)).notes[0].startswith("activations")
    many = costs_scene(record(CONV, *({**unknown, "name": f"what{n}"} for n in range(20))))
    assert many.notes[0].endswith("what6, what7 and 12 more")


@pytest.mark.parametrize("name", ["a" * 300, "<b>&\"'", "日本語" * 20, "a_long.name " * 9])
def test_no_name_is_cut_off_or_lies_on_another(name: str) -> None:
    scene = costs_scene(record({**CONV, "name": name}, {**CONV, "name": f"{name}2"}, name=name))
    check(scene)
    shown = "".join(text.text or "" for text in elements(scene).iter(f"{SVG}text"))
    assert name.replace(" ", "") in shown.replace(" ", "")
    for width in (20, 50, 200):
        text = blocks(scene, width=width, plain=True)
        assert name in text
        assert max(len(line) for line in text.splitlines() if "#" in line) <= max(width, 40)


def test_one_layer_and_five_hundred() -> None:
    check(costs_scene(record(CONV)))
    scene = costs_scene(record(*[CONV] * 500))
    check(scene)
    root = elements(scene)
    assert [len(bars(root, column.name)) for column in COLUMNS] == [MOST_ROWS + 1] * 3
    assert amounts(root, "MACs")[-1] == ("the other 460 layers", 459 * 2304 + 1152)
    assert amounts(root, "parameters")[-1] == ("the other 460 layers", 459 * 38 + 20)


def test_what_a_layer_shares_is_counted_once() -> None:
    layers = [{**CONV, "in_channels": 1, "out_channels": 1, "name": "a"}, {"shares": "a", "name": "b"}]
    found = record(*layers)
    assert amounts(elements(costs_scene(found)), "parameters") == [("a", 10), ("b", 0)]


def test_a_terminal_has_a_section_for_each_cost() -> None:
    text = blocks(costs_scene(record(CONV, CONV)), width=60, plain=True)
    sections = text.split("\n\n")[1:]
    assert [part.splitlines()[0] for part in sections] == ["MACs: 3.456 k", "parameters: 58", "activations: 1.024 kB"]
    assert [line.count("#") for line in sections[0].splitlines()[1:]] == [16, 33]
    assert all(len(line) <= 60 for line in "\n".join(sections).splitlines()[:-1])


def test_the_library_draws_it_and_layers_and_cells_are_no_part_of_it() -> None:
    net = planned(CONV, CONV)
    scene = convcli.draw(net, picture="costs")
    assert isinstance(scene, Scene)
    assert scene == costs_scene(network_record(net, Scope()))
    assert all(layer.memory is not UNSET for layer in network_record(net, Scope()).layers)
    for asked in ({"layer": "conv2d_1"}, {"cell": (0, 0)}):
        with pytest.raises(convcli.SpecError, match="costs are those of all layers"):
            convcli.draw(net, picture="costs", **asked)
