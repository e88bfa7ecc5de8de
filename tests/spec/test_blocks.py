"""Blocks, branches and layers used again: what they mean, and where it is said when they are wrong."""

from __future__ import annotations

import json
from pathlib import Path
from textwrap import dedent, indent
from typing import Any

import pytest
from drawn import ints
from hypothesis import given
from hypothesis import strategies as st

from convcli import SpecError, load, summarize
from convcli.plan import Plan, Step, plan
from convcli.spec.build import network, spelled_network


def planned(layers: list[Any], **top: Any) -> Plan:
    """The plan of a document."""
    return plan(network({"layers": layers, **top}, "net.yaml"))


def steps(layers: list[Any], **top: Any) -> dict[str, Step]:
    """The steps by name."""
    return {step.name: step for step in planned(layers, **top).steps}


def conv(name: str, channels: int = 4, **fields: Any) -> dict[str, Any]:
    """A convolution that keeps the size."""
    return {"name": name, "type": "Conv2d", "out_channels": channels, "kernel_size": 3, "padding": 1, **fields}


@given(ints(1, 4), ints(1, 3), st.booleans())
def test_a_repeated_block_is_its_layers_written_out(times: int, inner: int, residual: bool) -> None:
    """The same numbers as the layers one after the other, under the names stage.0.conv1, ..."""
    body: list[Any] = [conv(f"conv{n}") for n in range(inner)]
    if residual:
        body.append({"name": "add", "type": "Add", "from": [f"conv{inner - 1}", "input"]})
    block = planned(
        [conv("stem"), {"name": "stage", "repeat": times, "layers": body}, conv("head")], input=[2, 3, 9, 8]
    )
    flat: list[Any] = [conv("stem")]
    before = "stem"
    for turn in range(times):
        prefix = f"stage.{turn}" if times > 1 else "stage"
        flat += [conv(f"{prefix}.conv{n}") for n in range(inner)]
        if residual:
            flat.append({"name": f"{prefix}.add", "type": "Add", "from": [f"{prefix}.conv{inner - 1}", before]})
        before = flat[-1]["name"]
    written = planned([*flat, conv("head")], input=[2, 3, 9, 8])
    told = [(step.name, step.layer, step.x, step.y, step.field) for step in block.steps]
    assert told == [(step.name, step.layer, step.x, step.y, step.field) for step in written.steps]


def test_names_are_looked_up_from_the_inside_out() -> None:
    """A layer of the block, then one around it; the block's own name is its last layer from outside."""
    found = steps(
        [
            conv("a", 2),
            {
                "name": "block",
                "layers": [
                    conv("a", 3),
                    {"name": "own", "type": "Identity", "from": "a"},
                    {"type": "Identity", "name": "in", "from": "input"},
                ],
            },
            {"name": "outer", "type": "Identity", "from": "a"},
            {"name": "last", "type": "Identity", "from": "block"},
            {"name": "deep", "type": "Identity", "from": "block.own"},
        ],
        input=[1, 3, 8, 8],
    )
    assert {name: found[name].y[1] for name in ("block.own", "block.in", "outer", "last", "deep")} == {
        "block.own": 3,
        "block.in": 2,
        "outer": 2,
        "last": 2,
        "deep": 3,
    }


def test_a_block_may_take_its_input_from_anywhere() -> None:
    found = steps(
        [conv("a", 2), conv("b", 5), {"name": "side", "from": "a", "layers": [{"name": "i", "type": "Identity"}]}],
        input=[1, 3, 8, 8],
    )
    assert found["side.i"].y == (1, 2, 8, 8)


@given(ints(1, 4))
def test_a_layer_used_again_costs_products_and_no_parameters(times: int) -> None:
    layers = [conv("a", 3), *({"name": f"again{n}", "shares": "a"} for n in range(times))]
    report = summarize(network({"layers": layers, "input": [1, 3, 8, 8]}, "")).reports[0]
    assert report.totals.params == 3 * 3 * 9 + 3
    assert report.totals.macs == (1 + times) * 3 * 3 * 9 * 64
    assert [layer.shares for layer in report.layers[1:]] == ["a"] * times


def test_sharing_what_is_shared_names_the_owner() -> None:
    found = steps([conv("a", 3), {"name": "b", "shares": "a"}, {"name": "c", "shares": "b"}], input=[1, 3, 8, 8])
    assert found["c"].shares == "a"


def test_another_size_is_no_other_layer() -> None:
    """Weights fit wherever the channels do."""
    found = steps([conv("a", 3), "MaxPool2d(2)", {"name": "b", "shares": "a"}], input=[1, 3, 8, 8])
    assert found["b"].y == (3, 4, 4)


MARK = "§"  # stands before what a problem points at
WRONG: dict[str, tuple[str, list[str]]] = {
    "an unknown name": (
        """
        - {name: a, type: ReLU}
        - {name: b, type: ReLU, from: §aa}
        """,
        ["no layer before this one is named 'aa'"],
    ),
    "one of several": (
        """
        - {name: a, type: ReLU}
        - {type: Add, from: [a, §z]}
        """,
        ["no layer before this one is named 'z'"],
    ),
    "a name that comes later, so that no cycle can be": (
        """
        - {name: a, type: Add, from: [input, §b]}
        - {name: b, type: ReLU, from: a}
        """,
        ["no layer before this one is named 'b'"],
    ),
    "itself": ("- {name: a, type: Add, from: [input, §a]}", ["no layer before this one is named 'a'"]),
    "a join with one input": ("- §{name: a, type: Add}", ["this layer takes at least 2 input(s), not 1"]),
    "two inputs for one": ("- {type: ReLU, from: §[input, input]}", ["this layer takes 1 input(s), not 2"]),
    "shapes that do not fit": (
        """
        - {name: a, type: MaxPool2d, kernel_size: 2}
        - {type: Add, from: §[a, input]}
        """,
        ["the shapes [1, 3, 4, 4], [1, 3, 8, 8] do not fit together"],
    ),
    "concatenation of other sizes": (
        """
        - {name: a, type: MaxPool2d, kernel_size: 2}
        - {type: Concat, from: §[a, input]}
        """,
        ["[1, 3, 8, 8] does not fit behind [1, 3, 4, 4] along axis 1"],
    ),
    "sharing with nobody": ("- {name: a, shares: §b}", ['no layer before this one is named "b"']),
    "sharing with a later layer": (
        """
        - {name: a, shares: §b}
        - {name: b, type: Conv2d, out_channels: 3, kernel_size: 1}
        """,
        ['no layer before this one is named "b"'],
    ),
    "weights of other shapes": (
        """
        - {name: a, type: Conv2d, out_channels: 5, kernel_size: 1, bias: false}
        - {name: b, shares: §a}
        """,
        ["this place needs weight [5, 5, 1, 1], 'a' has weight [5, 3, 1, 1]"],
    ),
    "a field beside shares": (
        """
        - {name: a, type: ReLU}
        - {name: b, shares: a, §stride: 2}
        """,
        ['the field "stride" is not known'],
    ),
    "inside a block, each in its own line": (
        """
        - name: stage
          layers:
            - {name: a, type: ReLU}
            - §{name: b, type: Conv2d, out_channels: 3}
            - {name: c, type: ReLU, from: §nowhere}
        """,
        ["kernel_size is missing", "no layer before this one is named 'nowhere'"],
    ),
    "a name of another block": (
        """
        - {name: one, layers: [{name: a, type: ReLU}]}
        - {name: two, layers: [{name: b, type: ReLU, from: §a}]}
        """,
        ["no layer before this one is named 'a'"],
    ),
    "no times": ("- {name: a, repeat: §0, layers: [ReLU()]}", ["repeat=0 is not allowed"]),
    "a block of nothing": ("- {name: a, layers: §[]}", ["layers=[] is not allowed"]),
    "a block that grows": (
        """
        - name: a
          repeat: 2
          layers:
            - {type: Conv2d, in_channels: §3, out_channels: 5, kernel_size: 1}
        """,
        ["in_channels=3, but the input has 5 channels"],
    ),
    "names twice": (
        """
        - {name: a, layers: [{name: b, type: ReLU}]}
        - {name: a, layers: [{name: §b, type: ReLU}]}
        """,
        ['the name "a.b" is taken by'],
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_told_where_it_stands(tmp_path: Path, case: str) -> None:
    """The line and the column of each mark, and what is said there."""
    layers, messages = WRONG[case]
    path = tmp_path / "net.yaml"
    marked = "input: [1, 3, 8, 8]\nlayers:\n" + indent(dedent(layers).strip(), "  ") + "\n"
    path.write_text(marked.replace(MARK, ""))
    places = [
        (number, column - before + 1)
        for number, line in enumerate(marked.splitlines(), 1)
        for before, column in enumerate(place for place, letter in enumerate(line) if letter == MARK)
    ]
    with pytest.raises(SpecError) as caught:
        plan(load(path))
    found = caught.value.problems
    assert [(problem.line, problem.column) for problem in found] == places, found
    assert all(problem.message.startswith(start) for problem, start in zip(found, messages, strict=True)), found


def test_layers_of_blocks_have_their_own_lines(tmp_path: Path) -> None:
    """In YAML, through a merge key, and in JSON."""
    text = dedent(
        """
        input: [1, 3, 8, 8]
        layers:
          - name: stage
            repeat: 2
            layers:
              - &conv {name: a, type: Conv2d, out_channels: 3, kernel_size: 3, padding: 1}

              - {<<: *conv, name: b, padding: 2}
          - {name: last, type: ReLU}
        """
    ).lstrip()
    (tmp_path / "net.yaml").write_text(text)
    found = load(tmp_path / "net.yaml")
    assert [(one.name, one.line) for one in found.entries] == [
        ("stage.0.a", 6),
        ("stage.0.b", 8),
        ("stage.1.a", 6),
        ("stage.1.b", 8),
        ("last", 9),
    ]
    assert [step.y[1:] for step in plan(found).steps] == [(8, 8), (10, 10), (10, 10), (12, 12), (3, 12, 12)]
    body = '[{"name": "a", "type": "ReLU"},\n {"name": "b", "type": "ReLU"}]'
    (tmp_path / "net.json").write_text(f'{{"input": [1, 3, 8],\n "layers": [\n {{"name": "s", "layers": {body}}}]}}')
    assert [one.line for one in load(tmp_path / "net.json").entries] == [3, 4]


def test_json_lines_may_branch(tmp_path: Path) -> None:
    lines = [
        {"name": "a", "type": "Conv2d", "out_channels": 3, "kernel_size": 1, "input": [1, 3, 8, 8]},
        {"name": "b", "type": "ReLU"},
        {"name": "c", "type": "Add", "from": ["a", "b"]},
        {"name": "d", "type": "ReLU", "from": "nobody"},
    ]
    path = tmp_path / "net.jsonl"
    path.write_text("\n".join(map(json.dumps, lines[:3])))
    assert plan(load(path)).steps[-1].y == (1, 3, 8, 8)
    path.write_text("\n".join(map(json.dumps, lines)))
    with pytest.raises(SpecError) as caught:
        plan(load(path))
    assert [problem.line for problem in caught.value.problems] == [4]


def test_spelled_layers_may_branch() -> None:
    """`from` is a word of Python's own: `from_` in the spelling."""
    made = spelled_network(["ReLU(name='a')", "Concat(from_=['a', 'input'])", "ReLU(from_='a')"])
    made.input = (2, 3, 4)
    assert [step.y for step in plan(made).steps] == [(2, 3, 4), (2, 6, 4), (2, 3, 4)]


def test_too_many_layers_are_refused() -> None:
    nested: dict[str, Any] = {"repeat": 100_000, "layers": [{"repeat": 100_000, "layers": ["ReLU()"]}]}
    with pytest.raises(SpecError, match="too many layers"):
        planned([nested], input=[1, 3])


@pytest.mark.parametrize("wrong", [{"type": "Conv2d"}, {"type": "ReLU", "from": "nobody"}, "Conv2d(7, 3, 1)"])
def test_a_repeated_block_tells_what_is_wrong_once(wrong: Any) -> None:
    with pytest.raises(SpecError) as caught:
        planned([{"repeat": 50, "layers": [wrong]}], input=[1, 3, 8, 8])
    assert len({problem.message for problem in caught.value.problems}) == len(caught.value.problems)
