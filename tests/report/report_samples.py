"""Small records that the report's tests render: built from plan objects, without times, versions or paths."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import msgspec

from convcli.axis import axes
from convcli.conventions.differs import why_differs
from convcli.gate.baseline import updated
from convcli.gate.check import gate
from convcli.gate.sides import diff
from convcli.layers import Conv, ConvTranspose, DeformConvPack, Layer, Separable
from convcli.plan import Entry, Network, plan
from convcli.records import Command, Report, summarize
from convcli.verifier.verdict import (
    Check,
    Explanation,
    LayerVerdict,
    Outcome,
    Smallest,
    Status,
    outcome,
    worst,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from convcli.conventions.differs import Differences
    from convcli.explaining.record import Explanation as Formulas
    from convcli.gate.changes import Diff
    from convcli.gate.findings import Gate
    from convcli.receptive.record import FieldReport
    from convcli.solver.records import Answer
    from convcli.timing.record import Bench
    from convcli.verifier.self_test import SelfTest
    from convcli.zoo.record import Imports

COMMANDS: tuple[Command, ...] = ("shape", "params", "flops", "summary")
NASTY = (
    "a|b",
    "<script>alert(1)</script>",
    "two\nlines",
    "=1+1",
    "nul\x00bell\x07",
    "😀 é 漢字",
    "x" * 300,
    "a\\|`*_b_*`",
    "\ud800",
    "]]>",
    "[bold red]x",
    "50%,a:b",
    "\u202eright",
)


def entry(name: str, kind: str, layer: Layer, line: int | None = None) -> Entry:
    """A layer of a spec that is made already."""
    return Entry(name, kind, layer, line=line)


def conv(out_channels: int = 8, kernel: int = 3, stride: int = 1) -> Conv:
    """A 2-D convolution that pads by half its kernel."""
    return Conv(axes=axes((kernel, kernel), stride=stride, padding=kernel // 2), out_channels=out_channels)


def network(source: str = "net.yaml") -> Network:
    """One layer of each form: plain, composite with parts, transposed and deformable with numbers of their own."""
    up = ConvTranspose(axes=axes((3, 3), stride=2, padding=1, output_padding=1), out_channels=16)
    pack = DeformConvPack(axes=axes((3, 3), padding=1), out_channels=24, modulated=True)
    stem = Conv(axes=axes((7, 7), stride=2, padding=3), out_channels=64, bias=False)
    entries = [
        entry("conv1", "Conv2d", stem, 6),
        entry("block.sep", "SeparableConv2d", Separable(axes=axes((3, 3), padding=1), out_channels=32), 8),
        entry("up", "ConvTranspose2d", up, 9),
        entry("dcn", "DeformConv2dPack", pack, 10),
    ]
    return Network(entries, name="sample", source=source, input=(1, 3, 224, 224))


def named(names: Iterable[str], source: str = "net.yaml", command: Command = "summary") -> Report:
    """A report of one small convolution per name."""
    entries = [entry(name, "Conv2d", conv(), line) for line, name in enumerate(names, 1)]
    return versioned(summarize(Network(entries, name="names", source=source, input=(1, 8, 6, 5)), command=command))


def huge() -> Report:
    """Numbers of 60 digits and more."""
    layer = Conv(axes=axes((1, 1)), out_channels=10**15)
    grown = Network([entry("huge", "Conv2d", layer, 1)], source="huge.yaml", input=(10**10, 10**15, 10**10, 10**10))
    return versioned(summarize(grown, command="summary"))


def many(layers: int) -> Report:
    """A report of so many equal convolutions."""
    return named(f"conv{i}" for i in range(layers))


def report(command: Command, *sources: str, backward: bool = False, like: str = "") -> Report:
    """The sample network's report, once per source."""
    networks = map(network, sources or ("net.yaml",))
    return versioned(summarize(*networks, command=command, backward=backward, like=like))


def versioned(record: Report) -> Report:
    """The same with a version that does not change."""
    return msgspec.structs.replace(record, convcli="0.0.0")


def incomplete(record: Report) -> Report:
    """The same with totals that are lower bounds."""
    networks = tuple(
        msgspec.structs.replace(net, totals=msgspec.structs.replace(net.totals, complete=False))
        for net in record.reports
    )
    return msgspec.structs.replace(record, reports=networks)


Method = Literal["exact", "bound", "equal"]


def check(
    name: str, status: Status = Status.PASSED, method: Method = "exact", dtype: str = "float32", **found: object
) -> Check:
    """A check of the given outcome."""
    return msgspec.convert({"name": name, "method": method, "status": status, "dtype": dtype, **found}, Check)


def verdict(name: str, kind: str, checks: tuple[Check, ...], **more: object) -> LayerVerdict:
    """A layer's verdict, its status its worst check's unless it is given."""
    fields = {"name": name, "type": kind, "status": worst(checks), "checks": checks, "source": "net.yaml"}
    return msgspec.convert({**fields, "repro": f"convcli verify --type {kind} -i 1,3,8,8", **more}, LayerVerdict)


def sound() -> LayerVerdict:
    """A layer that holds."""
    checks = (
        check("shape", method="equal", dtype=""),
        check("params", method="equal", dtype=""),
        check("forward", detail="proven, 21.3 of 24 bits used", max_abs_error=0.0),
        check("forward", dtype="float64", detail="proven, 38.0 of 53 bits used"),
        check("forward", method="bound", bound_ratio=0.0417, max_abs_error=3.1e-06),
    )
    return verdict("conv1", "Conv2d", checks, line=6)


def explained() -> Explanation:
    """A failure that was taken apart."""
    return Explanation(
        check="forward [float32]",
        contributions=(
            "y[0, 2, 5, 1] = bias -2 + 2 products = 12, found 13",
            "x[0, 1, 5, 1] * weight[2, 1, 0, 0] = 3 * 5 = 15",
            "x[0, 1, 5, 2] * weight[2, 1, 0, 1] = -1 * 1 = -1",
            "found is expected minus the product x[0, 1, 5, 2] * weight[2, 1, 0, 1]",
        ),
        looks_like=("dilation applied as dilation + 1",),
        votes="loops, im2col and matrix agree with convcli: torch is wrong",
        smallest=Smallest(
            "Conv2d(1, 1, (1, 2), bias=False)",
            (1, 1, 1, 2),
            "convcli verify 'Conv2d(1, 1, (1, 2), bias=False)' -i 1,1,1,2 --seed 0 --dtype float32",
            'import numpy as np\nfrom convcli import kernels\nprint("convcli", kernels.conv(x, weight))\n',
            "x[0, 0, 0, 1] = 1, weight[0, 0, 0, 1] = 1, the rest 0: y[0, 0, 0, 0] expected 1, found 0",
        ),
        note="shrunk for 10 seconds, 40 layers: smaller ones may fail too",
    )


def self_tests() -> SelfTest:
    """A wrong implementation caught, one that survived, a right one accused."""
    from convcli.verifier.self_test import Alarm, Kill, Right, SelfTest  # heavy: not on the calculator's way

    kill = Kill(
        "kernel_flipped",
        "the kernel turned by 180 degrees",
        ("conv",),
        "Conv1d(2, 1, 2)",
        (1, 2, 2),
        4,
        {"float64": "exact", "float32": "exact"},
        "expected 3, found 4",
        ("1e-3",),
    )
    alarm = Alarm("wide", "Conv2d(8, 3, 3)", 3, check("forward", Status.FAILED, detail="expected 1, found 2"))
    return SelfTest(
        convcli="0.0.0",
        seed=0,
        environment={"numpy": "2.0"},
        kills=(kill, msgspec.structs.replace(kill, name="a|b", caught={"float64": "exact", "float32": ""})),
        right=(Right("sequential", "one by one", 22, 0, ("1e-3",)), Right("wide", "rounded once", 22, 1, ())),
        alarms=(alarm,),
        seconds=1.5,
    )


def benches() -> Bench:
    """A layer that is there twice, one that the other side lacks, one whose process died, one too large."""
    from convcli.timing.record import LIMIT, Bench, Timing, timed, total

    blank = Timing(name="conv1", type="Conv2d", source="net.yaml", input=(1, 3, 8, 8), output=(1, 4, 6, 6), macs=3888)
    layers = (
        timed(msgspec.structs.replace(blank, count=2), {"numpy": [3e6], "torch": [2e6], LIMIT: [1.5e6]}, {}),
        timed(msgspec.structs.replace(blank, name="a|b"), {"numpy": [1e6], LIMIT: [5e5]}, {"torch": "it lacks it"}),
        msgspec.structs.replace(blank, name="dead", status="crashed", reason="the process died: SIGSEGV", line=7),
        msgspec.structs.replace(blank, name="big", status="skipped", reason="needs about 9.0 GB", line=8),
    )
    return Bench(
        convcli="0.0.0",
        dtype="float32",
        gradients=False,
        threads=1,
        clock="CPU time",
        sides=("numpy", "torch"),
        environment={"numpy": "2.0"},
        layers=layers,
        totals=total(layers, ("numpy", "torch")),
        seconds=1.5,
    )


def zoo() -> Imports:
    """A model with a spec, one whose totals are lower bounds, one that raises, one that kills its process."""
    from convcli.zoo.record import Model, imports

    fine = Model(name="resnet18", target="torchvision.models:resnet18", file="zoo/resnet18.yaml", layers=69,
                 params=11689512, macs=1814073344, seconds=0.44)  # fmt: skip
    note = "nobody has stated the cost of fold: the totals are lower bounds"
    bound = {"name": "a|b", "target": "a|b.onnx", "file": "zoo/a|b.yaml", "complete": False, "notes": (note,)}
    lost: dict[str, Any] = {"layers": None, "params": None, "macs": None, "complete": False, "file": ""}
    told = {"status": "failed", "reason": "building net.py:Net raised ValueError: <no>"}
    models = (
        fine,
        msgspec.structs.replace(fine, **bound),
        msgspec.structs.replace(fine, name="Net", target="net.py:Net", **lost, **told),
        msgspec.structs.replace(fine, name="dead", target="net.py:dead", **lost, status="crashed", reason="it died"),
    )
    options = {"inputs": ["1,3,224,224"], "arguments": {"weights": "'DEFAULT'"}, "partial": True, "run": False}
    made = imports(models, options=options, environment={"torch": "2.4.0"}, seconds=2.5)
    return msgspec.structs.replace(made, convcli="0.0.0")


def solved() -> dict[str, Answer]:
    """An answer of each kind, and of a question that has none."""
    from convcli.solver.solve import solve  # not on the calculator's way

    found = {
        "solve": solve(224, 112, kernel=(3, 7), limit=3),
        "solve-chain": solve(8, 32, layers=2, kernel=4, limit=1),
        "solve-none": solve(224, 100, kernel=3, stride=(2, 3)),
        "solve-layer": solve("Conv2d(6, 8, 3, groups=4)", input=(1, 6, 32, 32)),
        "solve-legal": solve("Conv2d(6, 8, 3)", input=(1, 6, 32, 32)),
        "solve-message": solve("RuntimeError: mat1 and mat2 shapes cannot be multiplied (4x25088 and 512x10)"),
    }
    return {name: msgspec.structs.replace(answer, convcli="0.0.0") for name, answer in found.items()}


def seen() -> FieldReport:
    """A stack with holes along one axis, a wide field, an uneven layer; and a network that sees everything."""
    from convcli.receptive.record import receptive_field  # not on the calculator's way
    from convcli.spec.build import network as read

    up = {"name": "up", "type": "ConvTranspose2d", "out_channels": 1, "kernel_size": 3, "stride": 2}
    wide = {"type": "Conv2d", "out_channels": 1, "kernel_size": 3, "dilation": [1, 24], "padding": "same"}
    stack = {"name": "stack", "input": [1, 1, 60, 240], "layers": [up, *[wide] * 2]}
    mixed = {"input": [1, 3, 8], "layers": ["Conv1d(3, 4, 3)", "Flatten()", "Linear(24, 2)"]}
    found = receptive_field(read(stack, "stack.yaml"), read(mixed, "mixed.yaml"))
    return msgspec.structs.replace(found, convcli="0.0.0")


def told() -> Formulas:
    """A grouped layer with holes, one turned round, a separable one; names that mean something elsewhere."""
    from convcli.explaining.record import explain  # not on the calculator's way
    from convcli.spec.build import network as read

    first = {"name": "a|b", "type": "Conv1d", "out_channels": 4, "kernel_size": 2, "groups": 2, "dilation": 2}
    up = {"name": "up", "type": "ConvTranspose1d", "out_channels": 2, "kernel_size": 3, "stride": 2, "padding": 1}
    last = {"name": "=sep", "type": "SeparableConv1d", "out_channels": 3, "kernel_size": 3, "padding": "same"}
    found = explain(read({"name": "told", "input": [1, 4, 5], "layers": [first, up, last]}, "told.yaml"))
    return msgspec.structs.replace(found, convcli="0.0.0")


def before_and_after() -> tuple[Network, Network]:
    """A network, and what became of it: a layer changed, one added, one removed, one renamed, one with a bad name."""
    before = network()
    before.entries.append(entry("old", "Conv2d", conv(4), 11))
    before.entries.append(entry("gone", "Conv2d", conv(3, 1), 12))
    after = network()
    after.entries[0] = entry("conv1", "Conv2d", conv(64, 5, 2), 6)
    after.entries.append(entry("new|er", "Conv2d", conv(4), 11))
    after.entries.append(entry("=extra", "Conv2d", conv(9), 12))
    return before, after


def differing() -> Differences:
    """Why two tools have other numbers for the sample, and one that agrees but for what it skips."""
    found = why_differs(network(), tools=["thop", "ptflops", "torch"])
    return msgspec.structs.replace(found, convcli="0.0.0")


def diffs() -> Diff:
    """What became of a network."""
    return msgspec.structs.replace(diff(*before_and_after()), convcli="0.0.0")


def gates() -> Gate:
    """Everything that a check may end in: growth, budgets, an expectation, a spec that the baseline lacks."""
    before, after = before_and_after()
    after.budget = {"params": "+0.5%", "macs": "10G", "activation_bytes": "1MB"}
    after.entries[0].expect = {"output": [1, 64, 112, 112], "params": 9408, "macs_kept": 3}
    after.entries[1].budget = {"macs": "1M", "params": "+1%"}
    baseline = updated(None, [plan(before)], "baseline.json", "float32")
    plans = [plan(after), plan(network("other.yaml"))]
    found = gate(plans, baseline=baseline, path="baseline.json", tolerance="1%")
    return msgspec.structs.replace(found, convcli="0.0.0")


def held() -> Gate:
    """Two networks that are what they were."""
    plans = [plan(network(source)) for source in ("a.yaml", "b.yaml")]
    baseline = updated(None, plans, "baseline.json", "float32")
    return msgspec.structs.replace(gate(plans, baseline=baseline, path="baseline.json"), convcli="0.0.0")


def outcomes() -> Outcome:
    """One layer for each way a verification ends."""
    wrong = "expected 12, found 13"
    failed = check("forward", Status.FAILED, detail=wrong, max_abs_error=1.0, worst_index=(0, 2, 5, 1))
    layers = (
        sound(),
        verdict("conv2", "Conv2d", (check("shape", method="equal", dtype=""), failed), line=7, explanation=explained()),
        verdict("wino", "Conv2d", (check("forward", Status.INEXACT, "bound", bound_ratio=0.31),), line=8),
        verdict("pool|odd", "Conv2d", (check("forward", Status.MISTRUSTED, detail="99 % of the output is 0"),), line=9),
        verdict("dead", "DeformConv2d", (), status=Status.CRASHED, reason="the worker died of signal 11", line=10),
        verdict("slow", "Conv3d", (), status=Status.TIMED_OUT, reason="no answer in 60 s", line=11),
        verdict(
            "odd",
            "Conv2d",
            (check("forward", Status.UNSUPPORTED, detail="torch has no circular padding here"),),
            line=12,
        ),
        verdict("later", "Conv2d", (), status=Status.SKIPPED, reason="--layers left it out", line=13),
    )
    made = outcome(layers, seed=0, environment={"numpy": "2.0.0", "torch": "2.4.0", "threads": 2}, seconds=12.3)
    return msgspec.structs.replace(made, convcli="0.0.0")


def good() -> Outcome:
    """A verification in which everything holds."""
    made = outcome((sound(),), seed=0, environment={"numpy": "2.0.0", "torch": None}, seconds=0.5)
    return msgspec.structs.replace(made, convcli="0.0.0")
