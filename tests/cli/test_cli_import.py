"""`convcli import` as it is typed: what goes to which stream, and how it ends."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from cli_runs import Ran, run
from test_cli_imports import loaded

MODEL = """
import sys
import torch
from torch import nn

print("hello from the model")

class Net(nn.Module):
    def __init__(self, width=4, leave=False):
        super().__init__()
        if leave:
            sys.exit("goodbye")
        self.conv = nn.Conv2d(3, width, 3)
    def forward(self, x):
        return {"out": self.conv(x).relu()}

made = Net(5)
number = 3
def broken():
    raise ValueError("not built")
def asks():
    class Asks(Net):
        def forward(self, x):
            return self.conv(x) if x.sum().item() > 0 else x
    return Asks()
"""


@pytest.fixture
def model(tmp_path: Path) -> Path:
    file = tmp_path / "my_model.py"
    file.write_text(MODEL, encoding="utf-8")
    return file


def convcli(*arguments: str | Path) -> Ran:
    return run(*map(str, arguments))


@pytest.mark.torch
def test_the_spec_alone_goes_to_standard_output(model: Path, tmp_path: Path) -> None:
    ran = convcli("import", f"{model}:Net", "-i", "1x3x8x8", "--arg", "width=6")
    assert (ran.code, ran.err) == (0, "hello from the model\n")
    assert ran.out == (
        "name: Net\n"
        "input: [1, 3, 8, 8]\n"
        "layers:\n"
        "  - {name: conv, type: Conv2d, out_channels: 6, kernel_size: 3}\n"
        "  - {name: relu, type: ReLU}\n"
    )
    written = tmp_path / "net.yaml"
    ran = convcli("import", f"{model}:made", "-i", "1,3,8,8", "-o", written, "--name", "mine")
    assert ran.code == 0
    assert ran.out == ""
    assert ran.err.endswith("2 layers, 140 parameters\n")
    assert convcli("shape", written, "--quiet").code == 0
    assert '"name": "mine"' in convcli("summary", written, "-f", "json").out


@pytest.mark.torch
@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        ((":Net",), 2, "the model needs an input"),
        ((":Net", "-i", "1,3,2,2"), 3, "running .*my_model.py:Net raised RuntimeError: .*Kernel size"),
        ((":Net", "-i", "1,3,8,8", "--arg", "width"), 2, "--arg width; allowed: name=value"),
        ((":Net", "-i", "1,3,8,8", "--arg", "depth=3"), 3, "building .* raised TypeError: .*'depth'"),
        ((":Net", "-i", "1,3,8,8", "--arg", "name=3"), 3, "building .* raised TypeError: .*'name'"),
        ((":Net", "-i", "1,3,8,8", "--arg", "leave=True"), 3, "raised SystemExit: goodbye"),
        ((":Net", "-i", "1,3,8,8:float31"), 2, "'float31' is not known"),
        ((":Net", "-i", "1,3,8,8", "-o", "no/where/net.yaml"), 2, "cannot write no/where/net.yaml"),
        ((":broken", "-i", "1,3,8,8"), 3, "building .* raised ValueError: not built"),
        ((":number", "-i", "1,3,8,8"), 2, "3 is no model"),
        ((":asks", "-i", "1,3,8,8"), 3, "asks for a value .item.*--partial"),
        ((":Nut", "-i", "1,3,8,8"), 2, "has no 'Nut'.*try: .*:Net"),
    ],
    ids=lambda value: "-".join(value)[:40] if isinstance(value, tuple) else "",
)
def test_what_is_wrong_is_said_in_words(model: Path, arguments: tuple[str, ...], code: int, told: str) -> None:
    ran = convcli("import", f"{model}{arguments[0]}", *arguments[1:])
    assert ran.code == code, ran.err
    assert ran.out == ""
    assert re.search(told, ran.err), ran.err
    assert "Traceback" not in ran.err


def test_without_a_model_it_says_what_it_takes() -> None:
    ran = convcli("import", "-i", "1,3,8,8")
    assert ran.code == 2
    assert "module:callable" in ran.err


@pytest.mark.torch
def test_the_list_is_read_from_torchvisions_source() -> None:
    ran = convcli("import", "--list", "vgg1")
    lines = [line.split() for line in ran.out.splitlines()]
    assert ["vgg16", "torchvision.models:vgg16", "138,357,544", "15.470"] in lines
    assert len(lines) == 9  # 11, 13, 16 and 19, with batch norm and without; and SSD's
    assert convcli("import", "--list", "vgg1x").code == 2
    assert len(convcli("import", "--list", "vgg11", "vgg16").out.splitlines()) == 5
    assert not {"torch", "torchvision", "numpy"} & loaded("import", "--list", "vgg1")
