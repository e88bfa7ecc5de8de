"""What is said of other calculators, without them: numbers and reasons agree, in every report and on every way."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from drawn import Case, cases
from hypothesis import given
from msgspec import UNSET

import convcli
from convcli import SpecError
from convcli.conventions import HOMES, named
from convcli.conventions.differs import Comparison, Differences
from convcli.conventions.likeness import OURS
from convcli.plan import Network
from convcli.records import LayerRecord
from convcli.report import FORMATS, render
from convcli.spec.build import network

ROOT = Path(__file__).resolve().parents[2]
SAMPLES = ROOT / "sample_configs"
DEFORM = {"type": "DeformConv2dPack", "out_channels": 4, "kernel_size": 3, "padding": 1}
TRANSPOSED = "ConvTranspose2d(16, 8, 3, stride=2, padding=1, output_padding=1)"
SPECS = sorted(SAMPLES.glob("**/*.yaml"))


def of(start: tuple[int, ...], *layers: Any) -> Network:
    return network({"input": list(start), "layers": list(layers)}, "net.yaml")


def compared(start: tuple[int, ...], name: str, *layers: Any) -> Comparison:
    return convcli.why_differs(of(start, *layers), tools=[name]).comparisons[0]


@given(cases())
def test_our_number_and_the_reasons_add_up_to_the_tools(case: Case) -> None:
    for one in convcli.why_differs(of(case.input, case.fields)).comparisons:
        assert one.told_macs is not None
        assert abs(one.macs + sum(total.macs for total in one.totals) - one.told_macs) < 1
        assert sum(layer.told_macs - layer.macs for layer in one.layers) == sum(total.macs for total in one.totals)


@pytest.mark.parametrize("name", HOMES)
@pytest.mark.parametrize("path", SPECS, ids=lambda path: path.stem)
def test_like_and_why_differs_say_the_same(path: Path, name: str) -> None:
    net = convcli.load(str(path))
    totals = convcli.summarize(net, like=name).reports[0].totals
    one = convcli.why_differs(net, tools=[name]).comparisons[0]
    assert totals.macs == one.told_macs
    assert totals.params == (one.params if one.told_params is UNSET else one.told_params)
    ours = convcli.summarize(net).reports[0].totals
    assert (ours.macs, ours.params) == (one.macs, one.params)


def test_parts_add_up_to_their_layer_and_only_the_tools_numbers_are_left() -> None:
    report = convcli.summarize(of((2, 8, 9, 9), DEFORM), like="fvcore", command="flops")
    (layer,) = report.reports[0].layers
    assert isinstance(layer, LayerRecord)
    assert [part.macs for part in layer.parts or ()] == [209952, 0]
    assert (layer.macs, layer.flops) == (209952, 209952)  # a multiply-add is one flop, in its words
    assert all(getattr(layer, name) is UNSET for name in OURS)
    assert report.convention.macs == "fvcore 0.1.5"
    assert report.convention.flops == "macs"


def test_a_transposed_layer_by_thop_is_four_times_too_large_at_stride_2() -> None:
    one = compared((1, 16, 10, 10), "thop", TRANSPOSED)
    (cause,) = one.layers[0].causes
    assert (one.macs, one.told_macs) == (115200, 460800)
    assert "the output's size where the input's belongs" in cause.why
    assert cause.detail == "x4 at stride 2x2"


def test_a_written_same_is_nothing_to_fvcore_and_numbers_are() -> None:
    fields = {"type": "Conv2d", "out_channels": 4, "kernel_size": 3}
    assert compared((1, 3, 8, 8), "fvcore", {**fields, "padding": "same"}).told_macs == 0
    assert not compared((1, 3, 8, 8), "fvcore", {**fields, "padding": 1}).layers


def test_a_layer_used_again_counts_its_parameters_once() -> None:
    conv = {"name": "conv", "type": "Conv2d", "out_channels": 4, "kernel_size": 1}
    for name in ("torchinfo", "thop", "ptflops", "fvcore"):
        one = compared((1, 4, 8, 8), name, conv, {"shares": "conv"})
        assert (one.told_params, one.params) == (20, 20)
        assert (one.told_macs or 0) >= one.macs == 2 * 4 * 4 * 64


def test_a_tool_that_ends_in_an_error_has_no_number() -> None:
    softmax = {"type": "Softmax"}
    one = compared((2, 3, 4), "thop", softmax)
    assert one.told_macs is None
    assert "ends in an error at softmax_1" in str(one.stops)
    with pytest.raises(SpecError, match="ends in an error"):
        convcli.summarize(of((2, 3, 4), softmax), like="thop")


def test_an_unknown_operation_keeps_the_totals_lower_bounds() -> None:
    net = of((1, 3, 8, 8), {"type": "Unknown", "operation": "fold", "shape": [1, 3, 8, 8]})
    assert not convcli.summarize(net, like="thop").reports[0].totals.complete
    assert not convcli.why_differs(net, tools=["thop"]).comparisons[0].complete


@pytest.mark.parametrize("form", FORMATS)
def test_every_format_tells_the_reason(form: str) -> None:
    record: Differences = convcli.why_differs(of((2, 8, 9, 9), DEFORM), tools=["fvcore", "thop"])
    text = render(record, form)
    assert "deform_conv2d" in text
    assert "thop" in text
    if form == "csv":
        assert "'-" not in text


@pytest.mark.parametrize("name", ["thopp", "", "Torchinfo2", "flops"])
def test_a_tool_that_is_not_known_is_refused_with_the_nearest(name: str) -> None:
    with pytest.raises(SpecError, match="torchvision") as refused:
        named(name)
    assert refused.value.problems[0].repair == {"thopp": "thop", "Torchinfo2": "torchinfo", "flops": "ptflops"}.get(
        name, ""
    )


def test_the_document_prints_what_it_says() -> None:
    text = (ROOT / "docs" / "conventions.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```console\n\$ convcli (.*?)\n(.*?)```", text, re.DOTALL)
    command, output = block
    assert ran(*shlex.split(command)).stdout == output


def ran(*argv: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "convcli", *argv], cwd=ROOT, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (("explain", "--why-differs"), "no layer"),
        (("explain", "--why-differs", "fvcor", TRANSPOSED, "-i", "1,16,10,10"), "fvcore"),
        (("summary", TRANSPOSED, "-i", "1,16,10,10", "--like", "fvcor"), "fvcore"),
        (("summary", TRANSPOSED, "-i", "1,16,10,10", "--like", "thop", "--backward"), "--backward"),
        (("flops", TRANSPOSED, "-i", "1,16,10,10", "--like", "thop", "--convention", "strict"), "--convention"),
        (("params", TRANSPOSED, "-i", "1,16,10,10", "--like", "torch"), "counts no parameters"),
    ],
)
def test_a_wrong_command_line_ends_with_2(argv: tuple[str, ...], said: str) -> None:
    run = ran(*argv)
    assert (run.returncode, run.stdout) == (2, "")
    assert said in run.stderr
    assert "Traceback" not in run.stderr


def test_tools_are_named_before_the_specs_or_with_commas_or_not_at_all() -> None:
    spec = (TRANSPOSED, "-i", "1,16,10,10", "--format", "json")
    for words, count in ((("thop", "fvcore"), 2), (("thop,fvcore",), 2), ((), len(HOMES))):
        run = ran("explain", "--why-differs", *words, *spec)
        assert run.returncode == 0, run.stderr
        assert len(json.loads(run.stdout)["comparisons"]) == count
