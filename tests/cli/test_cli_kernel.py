"""`verify --kernel`: exit codes and messages of the flag."""

from __future__ import annotations

from pathlib import Path

import pytest
from cli_runs import run

LAYER = ("Conv2d(1, 2, 3)", "-i", "1,1,5,6", "--dtype", "float32")
KERNELS = """
import os
import numpy as np
three = 3
def right(x, weight, bias, **_):
    windows = np.lib.stride_tricks.sliding_window_view(x, (3, 3), axis=(2, 3))
    return np.einsum("nchwij,ocij->nohw", windows, weight) + bias[:, None, None]
def wrong(x, weight, bias, **_):
    return right(x, weight, bias) + 1
def lacking(*_, **__):
    raise NotImplementedError
def back(dy, x, weight, **_):
    dx = np.zeros_like(x)
    dw = np.einsum("nohw,ncijhw->ocij", dy, np.lib.stride_tricks.sliding_window_view(x, dy.shape[2:], axis=(2, 3)))
    for i, j in np.ndindex(3, 3):
        dx[:, :, i : i + dy.shape[2], j : j + dy.shape[3]] += np.einsum("nohw,oc->nchw", dy, weight[:, :, i, j])
    return dx, dw, dy.sum((0, 2, 3))
def back_wrong(*arrays, **_):
    dx, dw, db = back(*arrays)
    return dx, dw[:, :, ::-1], db
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file of kernels."""
    path = tmp_path / "own.py"
    path.write_text(KERNELS)
    return path


@pytest.mark.parametrize(
    ("name", "code", "words"),
    [
        ("right", 0, "1 passed"),
        ("wrong", 1, "0 passed, 1 failed"),
        ("lacking", 3, "NotImplementedError"),
        ("nothing", 2, "there is no nothing in"),
        ("three", 2, "three is not a function but int"),
    ],
)
def test_the_exit_code_says_how_it_went(file: Path, name: str, code: int, words: str) -> None:
    ran = run("verify", *LAYER, "--kernel", f"{file}:{name}")
    assert ran.code == code
    assert words in ran.out + ran.err
    assert "Traceback" not in ran.err


@pytest.mark.parametrize(
    ("kernels", "code", "words"),
    [
        (("--kernel-grad", "back"), 0, "1 passed"),
        (("--kernel", "right", "--kernel-grad", "back"), 0, "1 passed"),
        (("--kernel-grad", "back_wrong"), 1, "grad_weight [float32]: failed"),
        (("--kernel", "wrong", "--kernel-grad", "back"), 1, "forward [float32]: failed"),
        (("--kernel-grad", "nothing"), 2, "--kernel-grad: {file}:nothing: there is no nothing in"),
    ],
)
def test_a_backward_of_ones_own(file: Path, kernels: tuple[str, ...], code: int, words: str) -> None:
    ran = run("verify", *LAYER, *[word if word.startswith("--") else f"{file}:{word}" for word in kernels])
    assert ran.code == code
    assert words.replace("{file}", str(file)) in ran.out + ran.err


def test_a_file_with_a_mistake_in_it(file: Path) -> None:
    file.write_text("def conv(:\n")
    ran = run("verify", *LAYER, "--kernel", f"{file}:conv")
    assert (ran.code, ran.out) == (2, "")
    assert "SyntaxError: invalid syntax (own.py, line 1)" in ran.err


def test_a_file_that_ends_the_process_could_not_be_checked(file: Path) -> None:
    file.write_text("import os\nos._exit(4)\n")
    ran = run("verify", *LAYER, "--kernel", f"{file}:conv")
    assert ran.code == 3
    assert "does not start: the process left with code 4" in ran.err


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--kernel", "a:b", "--against", "numpy"), "exclude each other"),
        (("--kernel-grad", "a:b", "--against", "numpy"), "--kernel-grad and --against exclude each other"),
        (("--kernel", "a:b", "--grad"), "--kernel-grad names the backward"),
        (("--kernel-grad", "a:b", "--prove"), "it proves no count"),
        (("--kernel", "a:b", "--arrays", "cupy"), "--arrays cupy is not known"),
        (("--arrays", "torch"), "there is none"),
        (("--kernel", ""), "names no function"),
    ],
)
def test_flags_that_make_no_sense(flags: tuple[str, ...], words: str) -> None:
    ran = run("verify", *LAYER, *flags)
    assert ran.code == 2
    assert words in ran.err


@pytest.mark.parametrize("name", ["no.such:thing", "torhc", "", ".hidden:x", "two words"])
def test_another_side_that_nothing_is_called(name: str) -> None:
    ran = run("verify", *LAYER, "--against", name)
    assert ran.code == 2
    assert f"--against: there is no backend {name!r}" in ran.err
    assert ("try: torch" in ran.err) == (name == "torhc")


def test_an_amount_of_memory_that_is_none() -> None:
    ran = run("verify", *LAYER, "--max-memory", "much")
    assert ran.code == 2
    assert "--max-memory: 'much' is not an amount" in ran.err
