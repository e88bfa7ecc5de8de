"""Every sample configuration is read, and every number it expects is the one that comes out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from convcli import load, summarize
from convcli.plan import Network
from convcli.spec import text

SAMPLES = Path(__file__).parent.parent / "sample_configs"
FILES = sorted(path for path in SAMPLES.rglob("*") if path.suffix in {".yaml", ".json", ".jsonl"})


def name(path: Path) -> str:
    """A file's path among the samples."""
    return path.relative_to(SAMPLES).as_posix()


def expectations(network: Network) -> list[dict[str, Any]]:
    """What each layer is expected to be, {} where nothing is."""
    return [entry.expect or {} for entry in network.entries]


@pytest.mark.parametrize("path", FILES, ids=name)
def test_what_is_expected_comes_out(path: Path) -> None:
    network = load(path)
    layers = msgspec.to_builtins(summarize(network))["reports"][0]["layers"]
    for layer, expected in zip(layers, expectations(network), strict=True):
        found = {key: layer.get(key) for key in expected}
        assert found == {key: tuple(value) if key == "output" else value for key, value in expected.items()}, layer[
            "name"
        ]


@pytest.mark.parametrize("path", [path for path in FILES if path.suffix != ".jsonl"], ids=name)
def test_layers_stand_on_the_lines_that_are_reported(path: Path) -> None:
    lines = path.read_text().splitlines()
    for entry in load(path).entries:
        assert entry.line is not None
        line = lines[entry.line - 1]
        spelled_out = entry.name in line or line.lstrip().startswith(("-", '"', "layers"))
        assert spelled_out, f"{name(path)}:{entry.line} does not begin {entry.name}"


def test_the_samples_expect_something() -> None:
    """Numbers, and of every kind: a sample without an expectation shows nothing."""
    expected = {name(path): expectations(load(path)) for path in FILES}
    silent = [file for file, layers in expected.items() if not any(layers)]
    assert silent == ["kinds/pytorch-strings.yaml"]  # its lines cannot hold any
    keys = {key for layers in expected.values() for layer in layers for key in layer}
    assert keys >= {
        "output",
        "params",
        "macs",
        "macs_nonpad",
        "macs_kept",
        "macs_zero_insert",
        "interpolation_macs",
        "flops",
    }


def test_the_index_names_every_sample() -> None:
    index = (SAMPLES / "README.md").read_text()
    missing = [name(path) for path in FILES if f"({name(path)})" not in index]
    assert not missing


def test_a_jsonl_sample_is_a_layer_a_line() -> None:
    path = SAMPLES / "kinds" / "layers.jsonl"
    with path.open("rb") as stream:
        numbered = list(text.decode_lines(stream, str(path)))
    assert [entry.line for entry in load(path).entries] == [number for number, _ in numbered]


# Parameters and GMACs as torchvision's weights state them (`num_params`, `_ops`); the U-Net's parameters alone.
PUBLISHED: dict[str, tuple[int, str]] = {
    "resnet50": (25_557_032, "4.089"),
    "mobilenet_v2": (3_504_872, "0.301"),
    "vgg16": (138_357_544, "15.470"),
    "vit_b_16": (86_567_656, "17.564"),
    "unet": (31_037_633, ""),
}


def test_whole_networks_have_the_published_totals() -> None:
    paths = {path.stem: path for path in FILES if path.parent.name == "whole"}
    assert set(paths) == set(PUBLISHED)
    for stem, path in paths.items():
        totals = summarize(load(path)).reports[0].totals
        assert isinstance(totals.macs, int)
        gmacs = f"{totals.macs / 1e9:.3f}"
        assert (totals.params, gmacs if PUBLISHED[stem][1] else "") == PUBLISHED[stem]
        assert totals.complete


@pytest.mark.torch
def test_torchvision_publishes_these_totals() -> None:
    models = pytest.importorskip("torchvision.models")
    for stem in set(PUBLISHED) - {"unet"}:
        meta = models.get_model_weights(stem)["IMAGENET1K_V1"].meta
        assert (meta["num_params"], f"{meta['_ops']:.3f}") == PUBLISHED[stem]
