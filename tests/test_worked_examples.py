"""The textbooks' worked examples: the sample that holds each, the numbers it comes to, the guide's chapter on it."""

from __future__ import annotations

import re
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
import pytest

from convcli import kernels, load, summarize

ROOT = Path(__file__).resolve().parent.parent
GUIDE = (ROOT / "docs" / "guide.md").read_text(encoding="utf-8")


class Held(NamedTuple):
    """A layer of sample_configs/worked/, and what its record says."""

    file: str
    layer: str
    numbers: dict[str, Any]


class Example(NamedTuple):
    """A row of the table of worked examples: its words, the guide's chapter, the layers that hold it."""

    words: str
    chapter: str
    held: tuple[Held, ...]


EXAMPLES = (
    Example(
        "Conv2d(3, 4, 3, padding 1, stride 2) on (16, 3, 4, 4)",
        "1. The output's size",
        (Held("stride", "strided", {"output": [16, 4, 2, 2], "tensors": {"weight": [4, 3, 3, 3], "bias": [4]}}),),
    ),
    Example(
        "Conv1d(256, 128, 3) on (32, 256, 15), the text as (32, 15, 256) channels last",
        "2. One axis",
        (
            Held(
                "conv1d-text-channels-first",
                "trigrams",
                {"output": [32, 128, 13], "params": 98_432, "tensors": {"weight": [128, 256, 3], "bias": [128]}},
            ),
            Held("conv1d-text", "trigrams", {"output": [32, 13, 128], "params": 98_432}),
        ),
    ),
    Example(
        "Conv2d 6->6, 3x3, padding 1; the same with groups 3",
        "4. Grouped",
        (
            Held("grouped", "standard", {"output": [1, 6, 8, 8], "tensors": {"weight": [6, 6, 3, 3], "bias": [6]}}),
            Held("grouped", "groups-3", {"output": [1, 6, 8, 8], "tensors": {"weight": [6, 2, 3, 3], "bias": [6]}}),
        ),
    ),
    Example(
        "k^2*c1*c2 / g for g = 1, 2, 4",
        "4. Grouped",
        tuple(Held("grouped", f"g{g}", {"params": 3 * 3 * 8 * 16 // g}) for g in (1, 2, 4)),
    ),
    Example(
        "Conv2d(3, 4, 3) without bias, against separable",
        "5. Separable",
        (
            Held("separable", "standard-108", {"params": 108}),
            Held("separable", "separable-39", {"params": 39, "parts": [27, 12]}),
        ),
    ),
    Example(
        "separable 2->4, 3x3, padding 1 on (16, 2, 64, 64)",
        "5. Separable",
        (Held("separable", "batch-of-16", {"output": [16, 4, 64, 64]}),),
    ),
    Example(
        "depthwise 3->3 then pointwise 3->6 on (1, 3, 5, 5)",
        "5. Separable",
        (
            Held("depthwise-pointwise", "depthwise", {"output": [1, 3, 5, 5]}),
            Held("depthwise-pointwise", "pointwise", {"output": [1, 6, 5, 5]}),
        ),
    ),
    Example(
        "standard H*W*K*K*M*N against separable H*W*M*K*K + H*W*M*N MACs",
        "5. Separable",
        (
            Held("separable", "macs-standard", {"macs": 32 * 32 * 3 * 3 * 16 * 32}),
            Held("separable", "macs-separable", {"macs": 32 * 32 * 16 * 3 * 3 + 32 * 32 * 16 * 32}),
        ),
    ),
    Example(
        "ConvTranspose2d(1, 3, 2) on (1, 1, 3, 3); ConvTranspose2d(3, 3, 2, stride 2) on (1, 3, 3, 3)",
        "6. Transposed",
        (
            Held("transposed", "one-to-three", {"input": [1, 1, 3, 3], "output": [1, 3, 4, 4]}),
            Held("transposed", "doubled", {"input": [1, 3, 3, 3], "output": [1, 3, 6, 6]}),
        ),
    ),
    Example(
        "the 3x3 input, 2x2 kernel matrix example",
        "6. Transposed",
        (
            Held("matrix", "C", {"input": [1, 1, 3, 3], "output": [1, 1, 2, 2]}),
            Held("matrix", "C-transposed", {"input": [1, 1, 2, 2], "output": [1, 1, 3, 3]}),
        ),
    ),
    Example(
        "Conv2d(1, 1, 3) and with dilation 2 on (1, 1, 5, 5)",
        "7. Dilated",
        (
            Held("dilated", "dilation-1", {"output": [1, 1, 3, 3], "params": 9, "receptive_field": [3, 3]}),
            Held("dilated", "dilation-2", {"output": [1, 1, 1, 1], "params": 9, "receptive_field": [5, 5]}),
        ),
    ),
    Example(
        "conv 2->4, 3x3, groups 2, dilation 2, stride 2, padding 1, bias on (2, 2, 5, 5)",
        "7. Dilated",
        (Held("everything-at-once", "all", {"output": [2, 4, 2, 2]}),),
    ),
    Example(
        "deform_conv2d: x (4, 3, 10, 10), weight (5, 3, 3, 3), offset (4, 18, 8, 8), mask (4, 9, 8, 8)",
        "8. Deformable",
        (Held("deformable", "functional", {"output": [4, 5, 8, 8], "tensors": {"weight": [5, 3, 3, 3]}}),),
    ),
    Example(
        "offset convolution 3->18, 3x3, padding 1, then deformable 3->64 on (1, 3, 64, 64)",
        "8. Deformable",
        (
            Held("deformable", "offsets", {"output": [1, 18, 64, 64], "params": 504}),
            Held("deformable", "deformable", {"output": [1, 64, 64, 64]}),
            Held("deformable", "pack", {"output": [1, 64, 64, 64], "parts": [504, 1792]}),
        ),
    ),
)


def record(file: str, layer: str) -> dict[str, Any]:
    """What `convcli summary --format json` says of a layer; of its parts the parameters, of its field the size."""
    reports = summarize(load(ROOT / "sample_configs" / "worked" / f"{file}.yaml")).reports
    layers = msgspec.json.decode(msgspec.json.encode(reports[0].layers))
    (found,) = (one for one in layers if one["name"] == layer)
    told: dict[str, Any] = found | {
        "parts": [part["params"] for part in found["parts"]],
        "receptive_field": found["receptive_field"]["size"],
    }
    return told


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.words)
def test_the_sample_comes_to_the_examples_numbers(example: Example) -> None:
    for file, layer, numbers in example.held:
        found = record(file, layer)
        assert {key: found[key] for key in numbers} == numbers, f"{file}.yaml: {layer}"


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.words)
def test_the_guides_chapter_has_the_example(example: Example) -> None:
    (chapter,) = re.findall(rf"^## {re.escape(example.chapter)}\n(.*?)(?=^## )", GUIDE, re.MULTILINE | re.DOTALL)
    for file, layer, numbers in example.held:
        assert f"sample_configs/worked/{file}.yaml" in chapter
        shapes = ["x".join(map(str, numbers["output"]))] if "output" in numbers else []
        counts = [str(numbers[key]) for key in ("params", "macs") if key in numbers]
        for number in shapes + counts:
            assert re.search(rf"\b{number}\b", chapter), f"{file}.yaml: {layer}: {number}"


def test_the_chapters_come_in_order() -> None:
    told = re.findall(r"^## (\d\. .*)$", GUIDE, re.MULTILINE)
    chapters = [example.chapter for example in EXAMPLES]
    assert chapters == sorted(chapters)
    assert set(chapters) <= set(told)
    assert told == sorted(told)


def test_separable_macs_are_one_over_n_and_one_over_k_squared_of_the_standard_ones() -> None:
    separable, standard = record("separable", "macs-separable"), record("separable", "macs-standard")
    assert Fraction(separable["macs"], standard["macs"]) == Fraction(1, 32) + Fraction(1, 3**2)


def test_c_is_4_by_9_and_its_transpose_is_the_transposed_convolution() -> None:
    weight = np.arange(1.0, 5).reshape(1, 1, 2, 2)
    cells = np.eye(9).reshape(9, 1, 3, 3)
    matrix = kernels.conv(cells, weight).reshape(9, 4).T  # a column per input cell
    assert matrix.shape == (4, 9)
    y = np.arange(1.0, 5)
    made = kernels.conv_transpose(y.reshape(1, 1, 2, 2), weight)
    assert np.array_equal(matrix.T @ y, made.ravel())


def test_deformable_convolution_takes_the_examples_arrays() -> None:
    x, weight = np.ones((4, 3, 10, 10)), np.ones((5, 3, 3, 3))
    y = kernels.deform_conv2d(x, np.zeros((4, 18, 8, 8)), weight, mask=np.ones((4, 9, 8, 8)))
    assert y.shape == (4, 5, 8, 8)
    assert np.all(y == 3 * 3 * 3)


@pytest.mark.torch
def test_loops_equal_torch_on_everything_at_once() -> None:
    torch = pytest.importorskip("torch")
    drawn = np.random.default_rng(0).integers(-8, 9, 2 * 2 * 5 * 5 + 4 * 1 * 3 * 3 + 4).astype(np.float64)
    x, weight, bias = drawn[:100].reshape(2, 2, 5, 5), drawn[100:136].reshape(4, 1, 3, 3), drawn[136:]
    asked: dict[str, Any] = {"stride": 2, "padding": 1, "dilation": 2, "groups": 2}
    made = kernels.conv(x, weight, bias, method="loops", **asked)
    theirs = torch.nn.functional.conv2d(*map(torch.from_numpy, (x, weight, bias)), **asked)
    assert made.shape == (2, 4, 2, 2)
    assert np.array_equal(made, theirs.numpy())  # whole numbers: nothing rounds
