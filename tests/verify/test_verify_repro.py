"""The repro line repeats the layer."""

from __future__ import annotations

import shlex
from pathlib import Path

import msgspec
import pytest
from drawn import Case as Drawn
from drawn import cases
from hypothesis import given, settings

from convcli.layers import Layer
from convcli.plan import Network, plan
from convcli.spec.build import network, spelled_network
from convcli.verifier.repro import command, spelling


def replanned(text: str, shape: tuple[int, ...]) -> Layer:
    """The layer that a spelling stands for, on that input."""
    found = spelled_network([text])
    (step,) = plan(msgspec.structs.replace(found, input=shape)).steps
    return step.layer


@settings(max_examples=150)
@given(cases())
def test_a_spelling_is_read_back_as_the_same_layer(drawn: Drawn) -> None:
    fields = {**drawn.fields, "name": "one"}
    (step,) = plan(network({"input": list(drawn.input), "layers": [fields]}, "")).steps
    words = shlex.split(command(step, "", seed=3, dtype="float32"))
    assert words[:2] == ["convcli", "verify"]
    assert words[3:] == ["-i", ",".join(map(str, drawn.input)), "--seed", "3", "--dtype", "float32"]
    again = replanned(words[2], drawn.input)
    assert again.parts(drawn.x) == step.layer.parts(drawn.x)
    if not again.parts(drawn.x):
        assert again == step.layer


@pytest.mark.parametrize(
    "text",
    ["mb3_ic4oc6_ih9oh3kh3sh2ph0", "mb1_g2ic4oc6_iw9ow2kw3sw2pw1dw1", "mb2_ic1oc2_id5od1ih7oh2iw6ow3kd3kh2kw2ph0"],
)
def test_a_cropping_convolution_is_described_as_benchdnn_does(text: str) -> None:
    (step,) = plan(spelled_network([text])).steps
    (word,) = shlex.split(command(step, "", seed=0))[2:-2]
    (again,) = plan(spelled_network([word])).steps
    assert (again.layer, again.batch, again.x) == (step.layer, step.batch, step.x)


def test_a_layer_of_a_file_is_named_in_it(tmp_path: Path) -> None:
    file = tmp_path / "a net.yaml"
    file.touch()
    layer = {"name": "my conv", "type": "Conv2d", "out_channels": 2, "kernel_size": 3}
    document = {"input": [1, 3, 8, 8], "layers": [layer]}
    found: Network = network(document, str(file), lambda count: [2] * count)
    (step,) = plan(found).steps
    line = command(step, found.source, seed=0)
    assert shlex.split(line) == ["convcli", "verify", str(file), "--only", "my conv", "--seed", "0"]
    assert spelling(step) == "Conv2d(3, 2, 3)"
    assert "Conv2d" in command(step, "<stdin>", seed=0)
