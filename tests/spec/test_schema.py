"""The JSON Schema: it takes every sample, and refuses every fault that a schema can see."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from drawn import Case, cases
from hypothesis import given
from jsonschema import Draft202012Validator

from convcli import SpecError
from convcli.spec import companions
from convcli.spec.forms import BY_KEY, FORMS, form
from convcli.spec.schema import schema
from convcli.spec.text import decode, decode_lines

ROOT = Path(__file__).parent.parent.parent
SAMPLES = sorted(path for path in (ROOT / "sample_configs").rglob("*") if path.suffix in {".yaml", ".json"})
BROKEN = sorted((ROOT / "tests" / "broken").glob("*.yaml"))
# Broken files that a schema takes for good, and why.
BEYOND = {
    "relations between fields": {
        "groups-do-not-divide",
        "output_padding-too-large",
        "same-with-stride",
        "in_channels-contradicts",
        "padding-length",
        "duplicate-name",
    },
    "what depends on the input": {"reflect-too-large", "kernel-too-large", "wrong-rank", "input-missing", "input-zero"},
    "words and numbers that the schema leaves to the reader": {
        "padding-word",
        "budget-unit",
        "layer-budget-unit",
        "forty-digits",
        "unknown-type-in-string",
    },
}
SPEC = schema()
WHOLE = Draft202012Validator(SPEC)
LAYER = Draft202012Validator({"$ref": "#/$defs/Layer", "$defs": SPEC["$defs"]})


def test_the_schema_is_one() -> None:
    Draft202012Validator.check_schema(SPEC)
    assert SPEC["$schema"].endswith("2020-12/schema")


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: str(path.relative_to(ROOT / "sample_configs")))
def test_every_sample_fits(path: Path) -> None:
    document = decode(path.read_bytes(), str(path))
    assert [error.message for error in WHOLE.iter_errors(document)] == []


def test_every_line_of_a_jsonl_sample_fits() -> None:
    for path in (ROOT / "sample_configs").rglob("*.jsonl"):
        with path.open("rb") as stream:
            for number, layer in decode_lines(stream, str(path)):
                assert LAYER.is_valid(layer), f"{path}:{number}"


@pytest.mark.parametrize("path", BROKEN, ids=lambda path: str(path.stem))
def test_a_fault_that_a_schema_can_see_is_seen(path: Path) -> None:
    try:
        document = decode(path.read_bytes(), str(path))
    except SpecError:
        return  # no text at all for a schema
    beyond = set().union(*BEYOND.values())
    assert WHOLE.is_valid(document) == (path.stem in beyond)


def test_what_is_beyond_a_schema_exists() -> None:
    assert set().union(*BEYOND.values()) <= {path.stem for path in BROKEN}


@given(cases())
def test_random_layers_fit(case: Case) -> None:
    fields = {name: value for name, value in case.fields.items() if value is not None}
    assert LAYER.is_valid({**fields, "input": list(case.input), "name": "x"})


@given(cases())
def test_a_misspelt_field_does_not(case: Case) -> None:
    for name in set(case.fields) - {"type"}:
        assert not LAYER.is_valid({**case.fields, f"{name}s": case.fields[name]})


@pytest.mark.parametrize("key", sorted(BY_KEY))
def test_every_name_of_a_type_is_known_with_its_own_fields(key: str) -> None:
    required = {"out_channels": 4, "kernel_size": 1, "groups": 1, "dilation": 2, "output_size": 7}
    fields = form(key).fields
    names = {field: value for field, value in required.items() if field in fields.__struct_fields__}
    for written in (key, key.upper(), "-".join(key), f"_{key} "):
        assert LAYER.is_valid({"type": written, **names}), written
    assert not LAYER.is_valid({"type": key, **names, "colour": "red"})


@pytest.mark.parametrize(
    ("layer", "fits"),
    [
        ("Conv2d(3, 4, 3)", True),
        ("torch.nn.Conv2d(3, 4, 3)", True),
        ("Conv2d", False),
        ("Conv2d(3, 4", False),
        (7, False),
        ({}, False),
        ({"type": "Conv2d"}, False),
        ({"type": "Convolve2d", "out_channels": 4, "kernel_size": 3}, False),
        ({"type": 2, "out_channels": 4, "kernel_size": 3}, False),
        ({"type": "Conv2d", "out_channels": 4, "kernel_size": 3, "output_padding": 1}, False),
        ({"type": "ConvTranspose2d", "out_channels": 4, "kernel_size": 3, "output_padding": 1}, True),
        ({"type": "pointwise", "out_channels": 4, "kernel_size": 3}, False),
    ],
)
def test_layers_that_fit_and_layers_that_do_not(layer: Any, fits: bool) -> None:
    assert LAYER.is_valid(layer) == fits


def test_types_are_offered_to_an_editor() -> None:
    """An enum that it can complete: the proper names."""
    offered = SPEC["$defs"]["Layer"]["anyOf"][1]["properties"]["type"]["anyOf"][0]["enum"]
    proper = [each.type for each in FORMS if each.rank]
    assert offered[: len(proper)] == proper
    assert offered[len(proper) :] == [each.type for each in companions.FORMS]
