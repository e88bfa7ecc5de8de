"""What is reported: totals that are sums, bytes that are elements, keys that belong to a command."""

from __future__ import annotations

from math import prod
from typing import Any

import msgspec
import pytest
from drawn import Case, cases
from hypothesis import given
from hypothesis import strategies as st

from convcli import SpecError, summarize
from convcli.plan import Network
from convcli.records import BYTES, Command, Report
from convcli.spec.build import network

COMMANDS: tuple[Command, ...] = ("shape", "params", "flops", "summary")
NETS = st.lists(cases(), min_size=1, max_size=4)


def net(drawn: list[Case]) -> Network:
    """A network whose layers each have an input of their own."""
    return network({"layers": [{**case.fields, "input": list(case.input)} for case in drawn]}, "net.yaml")


def data(report: Report) -> dict[str, Any]:
    """The report as its JSON holds it."""
    decoded: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(report))
    return decoded


@given(NETS)
def test_totals_are_sums(drawn: list[Case]) -> None:
    (record,) = summarize(net(drawn), backward=True).reports
    layers, totals = record.layers, record.totals
    for name in ("params", "macs", "macs_nonpad", "bias_adds", "flops"):
        assert getattr(totals, name) == sum(getattr(layer, name) for layer in layers)
    assert isinstance(totals.memory, msgspec.Struct)
    memories = [layer.memory for layer in layers if isinstance(layer.memory, msgspec.Struct)]
    assert totals.memory.weight_bytes == sum(memory.weight_bytes for memory in memories)  # type: ignore[misc]
    assert totals.memory.activation_bytes == sum(memory.output_bytes for memory in memories)  # type: ignore[misc]
    assert totals.output == layers[-1].output
    assert totals.complete


@given(NETS, st.sampled_from(sorted(BYTES)))
def test_bytes_are_elements_times_their_size(drawn: list[Case], dtype: str) -> None:
    report = data(summarize(net(drawn), dtype=dtype))
    for case, layer in zip(drawn, report["reports"][0]["layers"], strict=True):
        memory, size = layer["memory"], BYTES[dtype]
        beside = sum(map(prod, case.layer.side_inputs(case.x).values()))
        assert memory["input_bytes"] == case.batch * (prod(case.x) + beside) * size
        assert memory["output_bytes"] == prod(layer["output"]) * size
        assert memory["weight_bytes"] == layer["params"] * size
        moved = memory["input_bytes"] + memory["output_bytes"] + memory["weight_bytes"]
        assert layer["arithmetic_intensity"] == pytest.approx(layer["flops"] / moved, abs=6e-4)


@given(NETS)
def test_the_gradients_cost_two_forwards(drawn: list[Case]) -> None:
    for layer in data(summarize(net(drawn), backward=True))["reports"][0]["layers"]:
        assert layer["backward"] == {
            "grad_input_macs": layer["macs"],
            "grad_weight_macs": layer["macs"],
            "grad_bias_adds": layer["bias_adds"],
            "macs": 2 * layer["macs"],
            "flops": 4 * layer["macs"],
        }


@given(NETS)
def test_a_layer_includes_its_parts(drawn: list[Case]) -> None:
    for layer in data(summarize(net(drawn)))["reports"][0]["layers"]:
        for part_key in ("params", "macs", "macs_nonpad", "bias_adds", "flops") if layer["parts"] else ():
            assert layer[part_key] == sum(part[part_key] for part in layer["parts"])
        for part in layer["parts"]:
            assert layer["tensors"].items() >= {f"{part['name']}.{k}": v for k, v in part["tensors"].items()}.items()
            assert part["parts"] == []


SHARES: dict[Command, tuple[set[str], set[str]]] = {
    "shape": ({"input", "output", "receptive_field"}, {"params", "macs", "flops", "memory", "tensors"}),
    "params": ({"params", "tensors", "memory"}, {"input", "output", "macs", "flops", "receptive_field"}),
    "flops": (
        {"input", "output", "macs", "macs_nonpad", "flops", "bias_adds", "memory", "arithmetic_intensity"},
        {"params", "receptive_field"},
    ),
    "summary": ({"input", "output", "params", "tensors", "macs", "flops", "memory", "receptive_field"}, set()),
}


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_prints_the_keys_that_concern_it(command: Command) -> None:
    document = ["Conv2d(3, 4, 3)", "SeparableConv2d(4, 6, 3)", "DeformConv2dPack(6, 4, 3)"]
    record = data(summarize(network({"layers": document, "input": [1, 3, 16, 16]}, "net.yaml"), command=command))
    there, absent = SHARES[command]
    assert record["command"] == command
    assert record["schema"] == 1
    for layer in record["reports"][0]["layers"]:
        assert there <= set(layer)
        assert not absent & set(layer)
    for name in absent & {"params", "macs", "flops"}:
        assert name not in record["reports"][0]["totals"]


def test_every_command_tells_the_same_numbers() -> None:
    network_ = network(
        {"layers": ["Conv2d(3, 4, 3)", "ConvTranspose2d(4, 6, 3, 2)"], "input": [2, 3, 16, 16]}, "net.yaml"
    )
    everything = data(summarize(network_))["reports"][0]["layers"]
    for command in ("shape", "params", "flops"):
        for part, whole in zip(
            data(summarize(network_, command=command))["reports"][0]["layers"], everything, strict=True
        ):
            assert {key: value for key, value in part.items() if key != "memory"}.items() <= whole.items()
            assert part.get("memory", {}).items() <= whole["memory"].items()


def test_the_contract_of_the_json() -> None:
    """The example of the documentation, key by key."""
    document = {
        "name": "resnet-stem",
        "input": [1, 3, 224, 224],
        "layers": [
            {
                "name": "conv1",
                "type": "Conv2d",
                "out_channels": 64,
                "kernel_size": 7,
                "stride": 2,
                "padding": 3,
                "bias": False,
            }
        ],
    }
    report = data(summarize(network(document, "net.yaml", lambda count: [6] * count)))
    assert (report["schema"], report["command"], report["convention"]) == (
        1,
        "summary",
        {"macs": "dense", "flops": "2*macs"},
    )
    (record,) = report["reports"]
    assert (record["source"], record["name"], record["input"]) == ("net.yaml", "resnet-stem", [1, 3, 224, 224])
    (layer,) = record["layers"]
    expected = {
        "name": "conv1",
        "type": "Conv2d",
        "line": 6,
        "input": [1, 3, 224, 224],
        "output": [1, 64, 112, 112],
        "params": 9408,
        "tensors": {"weight": [64, 3, 7, 7]},
        "macs": 118013952,
        "macs_nonpad": 116214528,
        "bias_adds": 0,
        "flops": 236027904,
        "receptive_field": {"size": [7, 7], "jump": [2, 2], "start": [0.5, 0.5]},
        "memory": {"input_bytes": 602112, "output_bytes": 3211264, "weight_bytes": 37632},
        "parts": [],
    }
    assert {key: layer[key] for key in expected} == expected
    totals = {"params": 9408, "macs": 118013952, "flops": 236027904, "output": [1, 64, 112, 112], "complete": True}
    assert {key: record["totals"][key] for key in totals} == totals


def test_strict_flops_count_the_additions_that_are_made() -> None:
    """One output: 27 products, 26 sums of them and the bias."""
    tiny = network({"layers": ["Conv2d(3, 1, 3)"], "input": [1, 3, 3, 3]}, "net.yaml")
    report = data(summarize(tiny, convention="strict"))
    assert report["reports"][0]["layers"][0]["flops"] == 27 + 26 + 1
    assert report["convention"]["flops"] == "2*terms - 1 + bias, per output"


def test_an_empty_batch_has_numbers_too() -> None:
    report = data(summarize(network({"layers": ["Conv2d(3, 1, 3)"], "input": [0, 3, 3, 3]}, "net.yaml")))
    (layer,) = report["reports"][0]["layers"]
    assert (layer["macs"], layer["output"], layer["params"]) == (0, [0, 1, 1, 1], 28)


def test_fractional_fields_are_numbers_of_json() -> None:
    up = network({"layers": ["ConvTranspose2d(3, 1, 4, 2, 1)", "Conv2d(1, 1, 3)"], "input": [1, 3, 9, 9]}, "net.yaml")
    first, second = data(summarize(up))["reports"][0]["layers"]
    assert first["receptive_field"]["jump"] == [0.5, 0.5]
    assert second["receptive_field"]["size"] == [3, 3]


def test_every_network_is_a_report_of_its_own() -> None:
    networks = [network({"layers": ["Conv2d(3, 1, 3)"], "input": [1, 3, 9, 9]}, name) for name in ("a.yaml", "b.yaml")]
    assert [record.source for record in summarize(*networks).reports] == ["a.yaml", "b.yaml"]


def test_a_wrong_network_raises_all_its_problems() -> None:
    wrong = network(
        {
            "layers": [
                "Conv2d(3, 1, 13)",
                {"type": "Conv2d", "out_channels": 2, "kernel_size": 99, "input": [1, 3, 8, 8]},
            ],
            "input": [1, 3, 9, 9],
        },
        "net.yaml",
    )
    with pytest.raises(SpecError) as caught:
        summarize(wrong)
    assert len(caught.value.problems) == 2
