"""Streams are the layers that a spec read at once has; batch files of benchdnn are specs; all that is wrong is told."""

from __future__ import annotations

import io
import json
from pathlib import Path

import msgspec
import pytest

import convcli
from convcli.errors import SpecError
from convcli.plan import Step, plan
from convcli.spec.stream import Stream, is_batch, stream_of, typed_in

SAMPLE = Path(__file__).parent.parent.parent / "sample_configs" / "kinds" / "layers.jsonl"
BATCH = """# two of resnet
--reset --dir=FWD_B --mb=4
ic3ih22oc8oh11kh7ph3sh2n"conv1"
mb1_ic8ih11oc8oh11kh3ph1n"res2a"  # and again
--mb=0 mb1_ic8ih11oc8oh11kh3ph1n"res2a"
g2ic8ih11oc8oh11kh3ph1
"""


def told(step: Step) -> Step:
    """What a layer is, without its place in a network."""
    return msgspec.structs.replace(step, field=None, path=())


def test_a_stream_has_the_layers_of_the_file() -> None:
    stream = Stream(SAMPLE, str(SAMPLE))
    whole = plan(convcli.load(SAMPLE)).steps
    assert len(stream) == len(whole)
    for _ in range(2):
        assert list(map(told, stream.steps())) == list(map(told, whole))


def test_a_batch_file_is_a_spec_and_a_stream(tmp_path: Path) -> None:
    path = tmp_path / "shapes"
    path.write_text(BATCH)
    steps = plan(convcli.load(path)).steps
    assert [step.name for step in steps] == ["conv1", "res2a", "res2a:5", "g2ic8ih11oc8oh11kh3ph1"]
    assert [(step.batch, step.x, step.y) for step in steps[:3]] == [
        ((4,), (3, 22, 22), (8, 11, 11)),
        ((4,), (8, 11, 11), (8, 11, 11)),
        ((1,), (8, 11, 11), (8, 11, 11)),
    ]
    assert steps[3].batch == (2,)
    streamed = list(Stream(path, str(path)).steps())
    assert [(step.batch, step.layer, step.line) for step in streamed] == [
        (step.batch, step.layer, step.line) for step in steps
    ]


def test_batch_files_name_others(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("--batch=b\nic1ih5oc1kh1\n")
    (tmp_path / "b").write_text("--mb=3 ic2ih5oc1kh1\n")
    assert [step.x for step in plan(convcli.load(tmp_path / "a")).steps] == [(2, 5, 5), (1, 5, 5)]
    (tmp_path / "b").write_text("--batch=a\n")
    with pytest.raises(SpecError, match="name each other"):
        convcli.load(tmp_path / "a")
    (tmp_path / "b").unlink()
    with pytest.raises(SpecError, match=r"a:1.*cannot read"):
        convcli.load(tmp_path / "a")


@pytest.mark.parametrize(
    ("start", "batch"),
    [
        (b"# one\n\nic3ih22oc8kh3\n", True),
        (b"--dir=FWD_D --mb=2\n", True),
        (b"---\nlayers: []\n", False),
        (b"layers:\n- Conv2d(1, 1, 1)\n", False),
        (b"Sequential(\n", False),
        (b'{"type": "Conv2d"}\n', False),
        (b"\xff\xfe", False),
        (b"", False),
    ],
)
def test_what_is_a_batch_file(start: bytes, batch: bool) -> None:
    assert is_batch(start) is batch


def test_all_that_is_wrong_has_its_line(tmp_path: Path) -> None:
    path = tmp_path / "many.jsonl"
    fine = {"type": "Conv2d", "out_channels": 3, "kernel_size": 3, "input": [1, 2, 8, 8]}
    lines = [fine, {**fine, "kernel_size": 0}, {**fine, "kernel_size": 11}, {**fine, "from": "conv2d_1", "input": None}]
    lines += [{name: value for name, value in fine.items() if name != "input"}, fine]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    with pytest.raises(SpecError) as caught:
        Stream(path, "many.jsonl")
    assert [(problem.source, problem.line) for problem in caught.value.problems] == [
        ("many.jsonl", line) for line in (2, 3, 4, 5)
    ]
    path.write_text('{"type": "Conv2d"\n')
    with pytest.raises(SpecError, match=r"many\.jsonl:1"):
        Stream(path, "many.jsonl")
    path.write_text("\n")
    with pytest.raises(SpecError, match="no layer"):
        Stream(path, "many.jsonl")


def test_an_input_for_all_of_them(tmp_path: Path) -> None:
    path = tmp_path / "many.jsonl"
    path.write_text('"Conv2d(2, 3, 3)"\n' * 3)
    assert [step.y for step in Stream(path, "many.jsonl", (1, 2, 8, 8)).steps()] == [(3, 6, 6)] * 3


def test_only_large_files_of_lines_are_streams(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert stream_of(str(SAMPLE)) is None
    monkeypatch.setattr("convcli.spec.stream.LEAST", 100)
    assert stream_of(str(SAMPLE)) is not None
    for name in ("-", "Conv2d(3, 64, 3)", str(SAMPLE.parent), str(SAMPLE.parent / "batch.yaml"), "none.jsonl"):
        assert stream_of(name) is None


@pytest.mark.parametrize("name", ["layers.jsonl", "shapes"])
def test_standard_input_is_the_stream_that_the_file_is(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / name
    path.write_bytes(SAMPLE.read_bytes() if name == "layers.jsonl" else BATCH.encode())
    data = path.read_bytes()

    def typed() -> Stream | bytes:
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(data)))
        return typed_in()

    assert typed() == data  # what is small is read at once, whatever it is
    monkeypatch.setattr("convcli.spec.stream.LEAST", len(data) // 2)
    stream, file = typed(), Stream(path, str(path))
    assert isinstance(stream, Stream)
    assert (len(stream), stream.source) == (len(file), "<stdin>")
    passes = [stream.steps() for _ in range(3)]  # at the same time
    assert [list(map(told, steps)) for steps in zip(*passes, strict=True)] == [[told(s)] * 3 for s in file.steps()]
    data = b"layers:\n" + b"- Conv2d(3, 3, 3)\n" * 20
    monkeypatch.setattr("convcli.spec.stream.LEAST", 100)
    assert typed() == data
    data = BATCH.encode() + b"nothing\n"
    with pytest.raises(SpecError, match="<stdin>:7"):
        typed()
