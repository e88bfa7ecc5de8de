"""The cases of fuzzing: legal by construction, what their row says, and the same everywhere."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from typing import cast

import pytest

from convcli.layers import Conv, ConvTranspose, DeformRoIPool, DeformRoIPoolPack, Layer, OnRoIs, Separable
from convcli.verifier.fuzz.draws import Drawn, drawn, rows
from convcli.verifier.fuzz.space import SPACES
from convcli.verifier.repro import respelled, spelled

SCRIPT = """
from convcli.verifier.fuzz.draws import drawn
from convcli.verifier.repro import spelled
import sys
print([spelled(drawn(kind, 7, index).step) for index in (3, 60) for kind in sys.argv[1:]])
"""


def cases(kind: str, seed: int, count: int) -> list[Drawn]:
    return [drawn(kind, seed, index) for index in range(len(rows(kind)) + count)]


@pytest.mark.parametrize("kind", SPACES)
@pytest.mark.parametrize("seed", [0, 1])
def test_every_case_is_legal_can_be_typed_and_is_what_its_row_says(kind: str, seed: int) -> None:
    for case in cases(kind, seed, 60):
        step = case.step
        assert step.layer == step.layer.settled(step.x)
        assert step.y == step.layer.output(step.x)
        assert respelled(step), spelled(step)
        if isinstance(step.layer, OnRoIs):
            regions_are(case)
            continue
        batch = case.row["batch"]
        assert step.batch == (() if batch == "none" else (batch,))
        sizes_are(case)
        numbers_are(case)
        padding_is(case)


def regions_are(case: Drawn) -> None:
    """What a row says of a layer on regions."""
    layer, x, row = cast("DeformRoIPool | DeformRoIPoolPack", case.step.layer), case.step.x, case.row
    assert (case.step.batch, x[:2]) == ((), (row["images"], row["in"]))
    assert (layer.num_rois, layer.sampling_ratio) == (row["num_rois"], row["sampling_ratio"])
    assert layer.modulated == row["modulated"]
    bins = layer.output_size
    assert bins[0] != bins[1] if row["bins"] == "uneven" else bins == (row["bins"],) * 2
    assert (x[2] == x[3]) == (row["size"] == "square")
    assert (x[3] == 1) == (row["size"] == "one")
    if isinstance(layer, DeformRoIPool):
        assert layer.offset == row["offset"]
    else:
        assert layer.deform_fc_channels == row["hidden"]


def sizes_are(case: Drawn) -> None:
    space, row = case.step.x[1:], case.row
    if row["size"] == "square":
        assert len(set(space)) == 1
    else:
        assert len(set(space)) == len(space)
    assert (space[-1] == 1) == (row["size"] == "one")
    if row["kernel"] == "larger":
        reach = [a.kernel if case.kind == "conv_transpose" else a.span for a in case.step.layer.axes]
        assert any(span > size for span, size in zip(reach, space, strict=True))


def numbers_are(case: Drawn) -> None:
    layer, row = case.step.layer, case.row
    for name in ("stride", "dilation", "kernel"):
        found = [getattr(axis, name) for axis in layer.axes]
        if isinstance(row[name], int):
            assert set(found) == {row[name]}
        elif row[name] == "uneven" and len(found) > 1:
            assert len(set(found)) == len(found)
    if isinstance(layer, Conv | ConvTranspose) and case.kind in {"conv", "conv_transpose"}:
        assert (layer.groups, case.step.x[0], case.step.y[0]) == (
            row["groups"],
            times(row["groups"], row["in"]),
            times(row["groups"], row["out"]),
        )
    if isinstance(layer, ConvTranspose):
        extras = [axis.output_padding for axis in layer.axes]
        assert any(extras) == (row["output_padding"] != 0)
    if isinstance(layer, Separable):
        assert (layer.depth_multiplier, layer.pointwise_bias) == (row["depth_multiplier"], row["pointwise_bias"])


def times(one: object, two: object) -> int:
    assert isinstance(one, int)
    assert isinstance(two, int)
    return one * two


def padding_is(case: Drawn) -> None:
    pads = [(axis.before, axis.after) for axis in case.step.layer.axes]
    word, transposed = case.row["padding"], case.kind == "conv_transpose"
    said = {
        "valid": lambda a, b: a == b == 0,
        "symmetric": lambda a, b: a == b > 0,
        "asymmetric": lambda a, b: a != b and min(a, b) > 0,
        "one-sided": lambda a, b: max(a, b) > min(a, b) == 0,
        "same": lambda a, b: 0 <= b - a <= 1,
    }
    if word in said:
        assert all(said[str(word)](a, b) for a, b in pads)
    if word == "crop":
        spans = [axis.span for axis in case.step.layer.axes]
        cropped = [max(p) >= span if transposed else p[1] < 0 for p, span in zip(pads, spans, strict=True)]
        assert all(cropped)


@pytest.mark.parametrize("kind", SPACES)
def test_cases_are_small(kind: str) -> None:
    def macs(layer: Layer, case: Drawn) -> int:
        return layer.counts(case.step.x, case.step.images).macs

    found = sorted(macs(case.step.layer, case) for case in cases(kind, 0, 200))
    assert found[len(found) // 2] < 10_000
    assert found[-1] < 20_000_000


def test_cases_are_the_same_in_any_process_and_order() -> None:
    def said(hash_seed: str, *kinds: str) -> str:
        env = {**os.environ, "PYTHONHASHSEED": hash_seed}
        return subprocess.run(
            [sys.executable, "-c", SCRIPT, *kinds], env=env, check=True, capture_output=True, text=True
        ).stdout

    here = str([spelled(drawn(kind, 7, index).step) for index in (3, 60) for kind in SPACES]) + "\n"
    assert said("1", *SPACES) == said("2", *SPACES) == here


def test_random_cases_differ_by_seed_kind_and_index() -> None:
    keys = {
        hashlib.sha256(str((case.step.layer, case.step.batch, case.step.x)).encode()).digest()
        for kind in ("conv", "conv_transpose")
        for seed in (0, 1)
        for case in cases(kind, seed, 50)
    }
    assert len(keys) > 370  # of some 390
