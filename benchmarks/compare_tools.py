"""How many of the layers in sample_configs/single-layers.yaml each calculator counts correctly, measured here and now.

    pip install -r benchmarks/requirements-compare.txt
    python benchmarks/compare_tools.py --out docs/comparison.md

Each tool runs in a process of its own (several patch torch globally). `--python NAME=PATH` asks a tool in another
environment: thop and ultralytics-thop install the same module and cannot share one. The truth is `expect` in the file,
which torch proves again at every run by executing all-ones layers; convcli is asked through its command line.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import json
import multiprocessing
import os
import statistics
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from calculators import CALCULATORS, Answer, Calculator, answer
from readings import Reading, backward_right, best

ROOT = Path(__file__).resolve().parent.parent
SPEC = ROOT / "sample_configs" / "single-layers.yaml"
Record = dict[str, Any]
LIKE = {  # the tools whose numbers convcli foretells, and which of its numbers is what they print
    "torchinfo": ("torchinfo", "macs"),
    "thop": ("thop", "macs"),
    "ptflops": ("ptflops", "macs"),
    "fvcore": ("fvcore", "macs"),
    "torch flop_counter": ("torch", "flops"),
}
HEADINGS = (
    "tool",
    "version",
    "params right",
    "MACs right",
    "layers silently skipped",
    "worst factor off",
    "backward right",
    "CPU s to start",
    "convention accepted",
)


def main() -> int:
    options = _options()
    if options.tool:
        json.dump(_told(options.tool), sys.stdout)
        return 0
    pythons = dict(pair.split("=", 1) for pair in options.python)
    truths = _child(sys.executable, "truth")["cases"]
    wrong = [f"{truth['name']}: {problem}" for truth in truths for problem in truth["problems"]]
    if wrong:
        print("torch does not confirm the file:", *wrong, sep="\n", file=sys.stderr)
        return 1
    rows = [_row(tool, pythons.get(tool.name, sys.executable), truths) for tool in CALCULATORS]
    rows.append(_convcli(pythons.get("convcli", sys.executable), truths))
    report = {
        "layers": len(truths),
        "environment": _environment(),
        "tools": rows,
        "foretold": _foretold(rows, pythons.get("convcli", sys.executable)),
    }
    if options.out:
        options.out.write_text(_document(report, truths), encoding="utf-8")
    print(json.dumps(report, indent=1) if options.json else _table(rows))
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="the whole measurement as JSON instead of the table")
    parser.add_argument("--out", type=Path, metavar="FILE.md", help="write the table and every layer's numbers")
    parser.add_argument(
        "--python", action="append", default=[], metavar="NAME=PATH", help="the interpreter in which to ask this tool"
    )
    parser.add_argument("--tool", help="print what one tool says, as JSON (what the processes run)")
    return parser.parse_args()


# --- inside a tool's process ---


def _told(name: str) -> Record:
    """{"version", "answers": [per case]}, or {"missing": why}; for "truth" the proved counts."""
    if name == "truth":
        return {"cases": [_truth(case) for case in _cases()]}
    tool = next(tool for tool in CALCULATORS if tool.name == name)
    try:
        version = metadata.version(tool.package)
        getattr(importlib.import_module(tool.module), tool.function)
        importlib.import_module("torch_layers")  # once, before the processes fork
    except (ImportError, metadata.PackageNotFoundError) as error:
        return {"missing": f"not installed: {error}"}
    if not _owns(tool):
        return {"missing": "not installed: another package provides its module"}
    return {"version": version, "answers": _answers(tool)}


def _owns(tool: Calculator) -> bool:
    """Whether the imported module is the package's own: two packages install a module `thop`, the later one wins."""
    module = importlib.import_module(tool.module.partition(".")[0])
    if tool.name not in {"thop", "ultralytics-thop"}:
        return True
    return (
        "ultralytics" in (Path(str(module.__file__)).parent / "profile.py").read_text(encoding="utf-8").lower()
    ) == (tool.name != "thop")


def _cases() -> list[Record]:
    yaml = importlib.import_module("yaml")
    cases: list[Record] = yaml.safe_load(SPEC.read_text(encoding="utf-8"))["layers"]
    return cases


def _answers(tool: Calculator) -> list[Record]:
    if not tool.isolated:
        return [_answer(tool.name, case) for case in _cases()]
    with multiprocessing.get_context("fork").Pool(1, maxtasksperchild=1) as pool:
        return pool.starmap(_answer, [(tool.name, case) for case in _cases()], chunksize=1)


def _answer(name: str, case: Record) -> Record:
    """The tool's answer, and its number for the backward pass."""
    tool = next(tool for tool in CALCULATORS if tool.name == name)
    told, gradients = answer(tool.ask, *_question(case)), tool.gradients
    if gradients is None:
        return told | {"backward": None}
    return told | {"backward": answer(lambda model, x: Answer(macs=gradients(model, x)), *_question(case))["macs"]}


def _question(case: Record) -> tuple[Any, Any]:
    """A model of one layer, as people have them, and its input."""
    torch, layers = importlib.import_module("torch"), importlib.import_module("torch_layers")
    return torch.nn.Sequential(layers.module(case)).eval(), torch.ones(case["input"])


def _truth(case: Record) -> Record:
    """The case's proved counts, and the `problems` where its `expect` says otherwise."""
    proved: Record = importlib.import_module("torch_layers").proved(case)
    sums = {name: sum(part.get(name, 0) for part in proved["parts"]) for part in proved["parts"] for name in part}
    found = sums | {"flops": 2 * sums["macs"], "output": proved["output"], "params": proved["params"]}
    problems = [
        f"{name} {stated}, torch {found[name]}" for name, stated in case["expect"].items() if found[name] != stated
    ]
    batch = case["input"][0] if len(proved["output"]) > int(case["type"].removesuffix("Pack")[-2]) + 1 else 1
    return {"name": case["name"], "type": case["type"], **proved, "batch": batch, "problems": problems}


# --- in the process that reports ---


def _child(python: str, name: str) -> Record:
    """What `--tool name` prints; a process that dies says so in its row."""
    run = subprocess.run([python, __file__, "--tool", name], capture_output=True, text=True, check=False)
    with contextlib.suppress(json.JSONDecodeError):
        return dict(json.loads(run.stdout[run.stdout.find("{") :]))
    return {"missing": f"its process ended with {run.returncode}: {(run.stderr.strip().splitlines() or [''])[-1]}"}


def _row(tool: Calculator, python: str, truths: Sequence[Record]) -> Record:
    return _judged(
        tool, _child(python, tool.name), truths, [python, "-c", f"from {tool.module} import {tool.function}"]
    )


def _judged(tool: Calculator, told: Record, truths: Sequence[Record], start: Sequence[str]) -> Record:
    """A row of the table, and the per-case verdicts."""
    row: Record = {"tool": tool.name, "missing": told.get("missing", "")}
    if row["missing"]:
        return row
    answers = told["answers"]
    reading = best([a["macs"] for a in answers], truths)
    cases = [_verdict(a, truth, reading) for a, truth in zip(answers, truths, strict=True)]
    backward = backward_right([a["backward"] for a in answers], truths)
    worst = max((case for case in cases if case["factor"]), key=lambda case: case["factor"], default=None)
    return row | {
        "version": told["version"],
        "params_right": sum(case["params_right"] for case in cases) if tool.params else None,
        "macs_right": sum(case["macs_right"] for case in cases),
        "macs_right_executed": _right_without_zero_insertion(answers, truths),
        "silent": [case["name"] for case in cases if case["skipped"] and not case["notice"]],
        "noticed": [case["name"] for case in cases if case["skipped"] and case["notice"]],
        "errors": [case["name"] for case in cases if case["error"]],
        "worst": {"name": worst["name"], "factor": worst["factor"]} if worst and worst["factor"] > 1 else None,
        "backward_right": sum(backward) if tool.gradients else None,
        "backward_wrong": [case["name"] for case, right in zip(cases, backward, strict=True) if not right]
        if tool.gradients
        else None,
        "start_seconds": _cpu_seconds(start),
        "convention": str(reading),
        "cases": cases,
    }


def _right_without_zero_insertion(answers: Sequence[Record], truths: Sequence[Record]) -> int:
    """The best a tool does when a transposed layer must be counted by products that some implementation runs."""
    said = [a["macs"] for a in answers]
    reading = best(said, truths, transposed=("scatter", "kept"))
    return sum(n == reading.expected(truth) for n, truth in zip(said, truths, strict=True))


def _verdict(said: Record, truth: Record, reading: Reading) -> Record:
    expected, macs = reading.expected(truth), said["macs"]
    ratio = macs / expected if macs and expected else 0
    skipped = macs != expected and macs in reading.without_a_part(truth)
    return said | {
        "name": truth["name"],
        "expected": expected,
        "params_right": said["params"] == truth["params"],
        "macs_right": macs == expected,
        "skipped": skipped,
        "factor": 0 if skipped or not ratio else max(ratio, 1 / ratio),
    }


def _cpu_seconds(command: Sequence[str]) -> float:
    """User and system time of the command, the median of three runs."""
    return statistics.median(_cpu_once(command) for _ in range(3))


def _cpu_once(command: Sequence[str]) -> float:
    before = os.times()
    subprocess.run(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
    after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system


def _convcli(python: str, truths: Sequence[Record]) -> Record:
    """Convcli's row, through its command line: `summary` and `flops --backward`."""
    command = [python, "-m", "convcli"]
    tool = Calculator("convcli", "convcli", "convcli", "main", lambda *_: Answer(), lambda *_: 0)
    summary = _convcli_layers([*command, "summary", str(SPEC), "--format", "json"])
    if isinstance(summary, str):
        return {"tool": "convcli", "missing": f"not run: {summary}"}
    costs = _convcli_layers([*command, "flops", str(SPEC), "--backward", "--format", "json"])
    told = {
        "version": summary["convcli"],
        "answers": [_convcli_answer(summary, costs, truth["name"]) for truth in truths],
    }
    return _judged(tool, told, truths, [*command, "summary", str(SPEC)])


def _convcli_layers(command: Sequence[str]) -> Record | str:
    """The command's JSON object, or why there is none."""
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if run.returncode:
        return f"exit code {run.returncode}, {(run.stderr.strip().splitlines() or [''])[-1]}"
    try:
        return dict(json.loads(run.stdout))
    except json.JSONDecodeError as error:
        return f"its output is not JSON: {error}"


def _convcli_answer(summary: Record, costs: Record | str, name: str) -> Record:
    layer = _named(summary, name)
    backward = None if isinstance(costs, str) else _named(costs, name).get("backward")
    macs = backward.get("macs") if isinstance(backward, Mapping) else backward
    return {"params": layer.get("params"), "macs": layer.get("macs"), "backward": macs, "notice": "", "error": ""}


def _foretold(rows: Iterable[Record], python: str) -> list[list[str]]:
    """Per tool that was asked and whose rules convcli has: of how many layers `--like` says what the tool said."""
    found = []
    for row in rows:
        if row["tool"] not in LIKE or row["missing"]:
            continue
        name, key = LIKE[row["tool"]]
        command = [python, "-m", "convcli", "flops", str(SPEC), "--like", name, "--format", "json"]
        report = _convcli_layers(command)
        if isinstance(report, str):
            found.append([row["tool"], row["version"], "not run", report])
            continue
        cases = row["cases"]
        wrong = [case["name"] for case in cases if case["macs"] != _named(report, case["name"]).get(key)]
        found.append(
            [row["tool"], row["version"], _share(len(cases) - len(wrong), len(cases)), ", ".join(wrong) or "-"]
        )
    return found


def _named(report: Mapping[str, Any], name: str) -> Record:
    return next((dict(layer) for part in report["reports"] for layer in part["layers"] if layer["name"] == name), {})


# --- as markdown ---


def _environment() -> dict[str, str]:
    return {name: metadata.version(name).partition("+")[0] for name in ("torch", "torchvision")} | {
        "python": sys.version.split()[0]
    }


def _table(rows: Iterable[Record]) -> str:
    return _markdown(HEADINGS, [_cells(row) for row in rows])


def _cells(row: Record) -> list[str]:
    if row["missing"]:
        return [row["tool"], row["missing"].partition(":")[0], *["-"] * (len(HEADINGS) - 2)]
    n = len(row["cases"])
    silent, noticed, errors = len(row["silent"]), len(row["noticed"]), len(row["errors"])
    extra = [f"{noticed} more with a notice"] * bool(noticed) + [f"{errors} ended in an error"] * bool(errors)
    worst, fewer = row["worst"], row["macs_right_executed"]
    return [
        row["tool"],
        row["version"],
        _share(row["params_right"], n),
        _share(row["macs_right"], n) + (f" ({fewer} without zero-insertion)" if fewer < row["macs_right"] else ""),
        f"{silent}" + (f" ({', '.join(extra)})" if extra else ""),
        f"{worst['factor']:.3g}x on {worst['name']}" if worst else "none",
        _share(row["backward_right"], n),
        f"{row['start_seconds']:.2f}",
        row["convention"],
    ]


def _share(right: int | None, n: int) -> str:
    return "not offered" if right is None else f"{right}/{n}"


def _markdown(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def _document(report: Record, truths: Sequence[Record]) -> str:
    """docs/comparison.md: the table, how it was judged, and every number that was not right."""
    versions = ", ".join(f"{name} {version}" for name, version in report["environment"].items())
    ran = [row for row in report["tools"] if not row["missing"]]
    sections = [
        "# Calculators compared on single layers",
        f"Written by `python benchmarks/compare_tools.py --out docs/comparison.md`; do not edit. {versions}, on a CPU.",
        _TRUTH.format(len(truths)),
        _table(report["tools"]),
        _HOW,
        "## MACs, layer by layer",
        _markdown(
            ["layer", "macs", *(row["tool"] for row in ran)],
            [_case_cells(i, truth, ran) for i, truth in enumerate(truths)],
        ),
        "`right`, or what the tool said and the ratio to the right number under its convention.",
        "## What `convcli flops --like` says that they say",
        _markdown(["tool", "version", "foretold", "not foretold"], report["foretold"]),
        _LIKE,
        "## Backward passes that are wrong",
        "\n".join(
            f"- {row['tool']}: {', '.join(row['backward_wrong']) or 'none'}"
            for row in ran
            if row["backward_wrong"] is not None
        ),
        "## What the tools said themselves",
        "\n".join(_notices(ran)) or "Nothing.",
    ]
    return "\n\n".join(sections) + "\n"


_TRUTH = """The {} layers are those of [single-layers.yaml](../sample_configs/single-layers.yaml). torch confirmed each
expected number in this run by executing the layer on all-ones float64 data, where the sum of the output is the number
of products."""

_LIKE = """Foretold: convcli's number in the tool's convention is the number that the tool gave here, right or wrong.
`convcli explain --why-differs TOOL` says where and why it is not convcli's own."""

_HOW = """How it was judged, in the tools' favour:

- Every tool gets one convention for all layers, the one under which most of its numbers are right: 1 or 2 per MAC;
  products with padding zeros in or out; bias adds in or out; transposed layers by their scatter, kept or zero-insert
  products; bilinear sampling in or out, as convcli counts it or as ptflops does; per batch or per sample.
- A layer is skipped when the number leaves out a whole convolution of it (0 for a single one). Silently: nothing was
  printed, logged or warned about it, with the tool's reports of missing rules switched on.
- The worst factor is over the layers that were not skipped.
- Backward is right when it is the cost of grad_input and grad_weight, twice the forward's, with bias in or out.
- Deformable layers hold their offsets, so that every tool gets one input tensor; each layer is alone in an
  `nn.Sequential`. calflops gets a fresh process for every layer: after an error all its later numbers are multiples.
- Starting is the CPU time of importing the tool's function, torch included where it imports it; for convcli it is the
  whole command `convcli summary` on all the layers."""


def _case_cells(i: int, truth: Record, ran: Sequence[Record]) -> list[str]:
    return [truth["name"], str(sum(part["macs"] for part in truth["parts"])), *(_said(row["cases"][i]) for row in ran)]


def _said(case: Record) -> str:
    if case["macs_right"]:
        return "right"
    if case["macs"] is None:
        return "error" if case["error"] else "no number"
    return f"{case['macs']} ({case['macs'] / case['expected']:.3g}x)"


def _notices(ran: Iterable[Record]) -> list[str]:
    """One line per tool and distinct message, with the layers it concerns."""
    lines = []
    for row in ran:
        messages: dict[str, list[str]] = {}
        for case in row["cases"]:
            for text in filter(None, (case["error"], case["notice"])):
                messages.setdefault(text.replace("`", "'"), []).append(case["name"])
        lines += [f"- {row['tool']}, {', '.join(names)}: `{text}`" for text, names in messages.items()]
    return lines


if __name__ == "__main__":
    sys.exit(main())
