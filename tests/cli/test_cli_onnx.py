"""ONNX files on the command line: specs like others, wrong ones told in words, exit 3 where onnx is not installed."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path

import pytest
from cli_runs import run, run_alone

MISSING = find_spec("onnx") is None


@pytest.mark.skipif(not MISSING, reason="onnx is installed")
@pytest.mark.parametrize("command", ["summary", "check", "import", "receptive-field"])
def test_without_onnx_a_file_is_not_read_and_the_line_that_installs_it_is_said(command: str, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(b"\x08\x08")
    ran = run(command, str(path))
    assert ran.code == 3
    assert 'pip install "convcli[onnx]"' in ran.err


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """relu(conv(x)) of an open batch."""
    pytest.importorskip("onnx")
    import numpy as np
    from onnx import TensorProto, helper, numpy_helper, save

    nodes = [
        helper.make_node("Conv", ["x", "conv.weight"], ["a"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["a"], ["y"], name="/relu/Relu"),
    ]
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 3, 8, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.zeros((4, 3, 3, 3), np.float32), "conv.weight")],
    )
    path = tmp_path / "model.onnx"
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


@pytest.mark.parametrize("given", ["2,3,8,8", "x=2,3,8,8", "batch=2"])
def test_every_way_to_say_the_input_gives_the_same(file: Path, given: str) -> None:
    ran = run("summary", str(file), "-i", given, "--format", "json")
    assert ran.code == 0, ran.err
    told = json.loads(ran.out)["reports"][0]
    assert [layer["name"] for layer in told["layers"]] == ["conv", "relu"]
    assert told["totals"]["macs"] == 2 * 4 * 64 * 27


def test_a_file_on_standard_input_is_told_by_its_first_byte(file: Path) -> None:
    assert run("params", "-", "-i", "batch=1", stdin=file.read_bytes()).out.count("conv") == 1


def test_import_writes_what_the_file_is(file: Path, tmp_path: Path) -> None:
    ran = run("import", str(file), "-i", "batch=1", "-o", str(tmp_path / "model.yaml"))
    assert ran.code == 0, ran.err
    same = run("diff", str(tmp_path / "model.yaml"), str(file), "-i", "1,3,8,8", "--exit-code")
    assert same.code == 0, same.out + same.err


def test_what_is_wrong_is_said_in_words(file: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad.onnx"
    bad.write_bytes(file.read_bytes()[:-40])
    for argv, words in (
        (("summary", str(bad)), "no ONNX file"),
        (("summary", str(file)), "try: -i x=1,3,8,8"),
        (("summary", str(file), "-i", "z=1,3,8,8"), "no input is named 'z'"),
        (("summary", str(file), "-i", "x=1,3,eight,8"), "input"),
        (("import", str(file), "--run"), "read, not run"),
        (("import", str(file), "-i", "1,3,8,8", "-i", "1,3,8,8"), "need their names"),
        (("summary", str(tmp_path / "none.onnx")), "there is no such file"),
    ):
        ran = run(*argv)
        assert (ran.code, words in ran.err) == (2, True), (argv, ran.err)


def test_numbers_are_counted_without_torch(file: Path) -> None:
    ran = run_alone("flops", str(file), "-i", "batch=1", env={"PYTHONVERBOSE": "1"})
    assert ran.code == 0
    assert "import 'onnx'" in ran.err
    assert "import 'torch'" not in ran.err
