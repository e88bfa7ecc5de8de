"""Networks drawn at random, and a second one that somebody made of the first."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn

from convcli.gate.numbers import NetworkNumbers, numbers_of
from convcli.plan import Network, plan
from convcli.records import Scope, network_record
from convcli.spec.build import network

Layers = list[dict[str, Any]]


def layer(number: int, *, name: str = "", kernel: int = 3, type_: str = "Conv2d") -> dict[str, Any]:
    """A convolution that keeps the spatial sizes."""
    fields = {"type": type_, "out_channels": number, "kernel_size": kernel, "padding": kernel // 2}
    return {**fields, "name": name} if name else fields


@st.composite
def layers(draw: DrawFn) -> Layers:
    """Some layers, some of them with names."""
    found = []
    for place in range(draw(st.integers(1, 7))):
        if draw(st.booleans()):
            found.append({"type": draw(st.sampled_from(["ReLU", "GELU"]))})
        else:
            kind = draw(st.sampled_from(["Conv2d", "Conv2d", "SeparableConv2d"]))
            found.append(layer(draw(st.integers(1, 3)), kernel=draw(st.sampled_from([1, 3])), type_=kind))
        if draw(st.booleans()):
            found[-1]["name"] = f"block.{'abcdefg'[place]}"
    return found


@st.composite
def edited(draw: DrawFn) -> tuple[Layers, Layers]:
    """Layers, and what became of them: some removed, added, changed, renamed or moved."""
    before = draw(layers())
    after = [dict(one) for one in before]
    for edit in draw(st.lists(st.sampled_from(["remove", "add", "change", "rename", "move"]), max_size=4)):
        place = draw(st.integers(0, len(after) - 1))
        if edit == "remove" and len(after) > 1:
            del after[place]
        elif edit == "add":
            after.insert(place, layer(draw(st.integers(1, 3)), type_="Conv2d"))
        elif edit == "change" and "out_channels" in after[place]:
            after[place]["out_channels"] += 1
        elif edit == "rename":
            after[place]["name"] = f"new_{len({one.get('name') for one in after})}x{place}"
        elif edit == "move":
            after.append(after.pop(place))
    names: set[str] = set()
    for one in after:  # a name is taken once
        if one.get("name") in names:
            del one["name"]
        names.add(one.get("name", ""))
    return before, after


def net(found: Layers, source: str = "net.yaml", **top: Any) -> Network:
    """The layers as a network."""
    return network({"name": "net", "input": [1, 2, 6, 5], "layers": found, **top}, source)


def numbers(found: Layers, source: str = "net.yaml", **top: Any) -> NetworkNumbers:
    """The layers' numbers."""
    return numbers_of(network_record(plan(net(found, source, **top)), Scope("summary")))
