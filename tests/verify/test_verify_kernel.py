"""A kernel of the user's own: passed when it is right, named when it is broken, and named when it cheats."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import verify_kernels
from verify_layers import SMALL, planned, statuses

import convcli
from convcli.axis import axes
from convcli.backends.kernel import Kernel, is_default, keywords
from convcli.backends.target import Target, function_at
from convcli.errors import SpecError
from convcli.layers import Conv, ConvTranspose, DeformConv
from convcli.verifier.own import target
from convcli.verifier.run import verify
from convcli.verifier.variants import Variant, reason
from convcli.verifier.verdict import Check, LayerVerdict, Outcome

LAYER, SHAPE = "Conv2d(3, 2, 3, padding=1)", (1, 3, 9, 9)
FAKES = "verify_kernels"


def outcome_of(name: str, layer: str = LAYER, shape: tuple[int, ...] = SHAPE, **options: object) -> Outcome:
    """The fake of that name on one layer, in single precision."""
    settings = {"dtypes": ("float32",), **options}
    return convcli.verify_kernel(getattr(verify_kernels, name), layer, shape, **{"explain": False, **settings})  # type: ignore[arg-type]


def verdict_of(name: str, **options: object) -> LayerVerdict:
    return outcome_of(name, **options).layers[0]  # type: ignore[arg-type]


def found(verdict: LayerVerdict, name: str, method: str = "") -> Check:
    """The check of that name."""
    return next(c for c in verdict.checks if c.name == name and method in {"", c.method})


def test_a_right_kernel_passes_every_check() -> None:
    outcome = outcome_of("right", dtypes=("float64", "float32"))
    (verdict,) = outcome.layers
    assert outcome.exit_code == 0
    made = [(c.name, c.method, c.dtype, str(c.status)) for c in verdict.checks]
    assert made == [
        ("forward", "exact", "float64", "passed"),
        ("forward", "bound", "float64", "passed"),
        ("conduct", "equal", "float64", "passed"),
        ("shape", "equal", "", "passed"),
        ("forward", "exact", "float32", "passed"),
        ("forward", "bound", "float32", "passed"),
        ("conduct", "equal", "float32", "passed"),
        ("views", "exact", "float32", "passed"),
        ("other_inputs", "exact", "float32", "passed"),
    ]
    assert found(verdict, "forward").detail.startswith("exact: proven")
    assert found(verdict, "other_inputs").detail == "right on 9x9, 6x6, 6x9, 2 of 6x6, 68x70"
    assert outcome.environment["against"] == f"{FAKES}:right"
    assert verdict.repro.endswith(f"--seed 0 --kernel {FAKES}:right")


@pytest.mark.parametrize("layer", ["Conv2d(3, 2, (3, 2), stride=(2, 1), padding=((1, 0), (2, 1)))", LAYER])
def test_a_plain_function_is_asked_for_what_it_takes(layer: str) -> None:
    assert statuses(outcome_of("plain", layer)) == ["passed"]


@pytest.mark.parametrize(
    ("fake", "layer", "words"),
    [
        ("plain", "Conv2d(3, 6, 3, groups=3)", "it takes no groups, and the layer has groups=3"),
        ("plain", "Conv2d(3, 4, 3, dilation=2)", "it takes no dilation, and the layer has dilation=(2, 2)"),
        ("plain", "Conv2d(3, 4, 3, padding=1, padding_mode='reflect')", "padding_mode='reflect'"),
        ("no_bias", LAYER, "it takes no bias, and the layer has one"),
        ("lacking", LAYER, "only on weekdays"),
    ],
)
def test_what_it_does_not_take_is_unsupported(fake: str, layer: str, words: str) -> None:
    outcome = outcome_of(fake, layer)
    assert statuses(outcome) == ["unsupported"]
    assert words in found(outcome.layers[0], "forward").detail
    assert outcome.exit_code == 3


def test_no_bias_is_no_argument() -> None:
    assert statuses(outcome_of("no_bias", "Conv2d(3, 2, 3, bias=False)")) == ["passed"]


@pytest.mark.parametrize(
    ("fake", "status", "words"),
    [
        ("crashing", "crashed", "SIGSEGV"),
        ("hanging", "timed_out", "1.5 seconds"),
        ("starving", "out_of_memory", "Unable to allocate"),
        ("refusing", "error_mismatch", "ValueError: not today"),
        ("nothing", "error_mismatch", "the kernel returned NoneType, not an array"),
        ("missing", "error_mismatch", "'tile'"),
        ("misshapen", "shape_mismatch", "(1, 2, 9, 8)"),
        ("widened", "failed", "gave float64, expected float32"),
    ],
)
def test_a_broken_kernel_is_its_row(fake: str, status: str, words: str) -> None:
    outcome = outcome_of(fake, timeout=1.5 if fake == "hanging" else 60.0)
    assert statuses(outcome) == [status]
    assert words in found(outcome.layers[0], "forward").detail
    assert outcome.exit_code == 1


def test_what_it_prints_is_not_the_reports(capfd: pytest.CaptureFixture[str]) -> None:
    assert statuses(outcome_of("talking")) == ["passed"]
    assert capfd.readouterr().out == ""


@pytest.mark.parametrize(
    ("fake", "check", "words"),
    [
        ("view", "conduct", "it returns a view of its input x"),
        ("view", "conduct", "it writes to its input x"),
        ("writing", "conduct", "it writes to its input weight"),
        ("by_shape", "forward", "it gives the answer of an earlier call to new data"),
        ("by_address", "forward", "it gives the answer of an earlier call to new data"),
        ("sharing", "conduct", "the array that it returned first changes when it is called again"),
        ("only_once", "conduct", "it gives another answer when it is called with the same data again"),
        ("patching", "conduct", "it replaces numpy.a"),
        (
            "square_only",
            "other_inputs",
            "right on square inputs only: right on 9x9, 6x6, 2 of 6x6, wrong on 6x9, 68x70",
        ),
        ("small_only", "other_inputs", "right on small inputs only: right on 9x9, 6x6, 6x9, 2 of 6x6, wrong on 68x70"),
        ("one_image", "other_inputs", "right on one image only"),
        ("whole_only", "bound", "right on whole numbers, wrong on others"),
        ("strides_ignored", "views", "right on contiguous arrays, wrong on views (strides ignored); expected"),
    ],
)
def test_a_kernel_that_cheats_is_caught_by_name(fake: str, check: str, words: str) -> None:
    verdict = verdict_of(fake)
    assert str(verdict.status) in {"failed", "shape_mismatch"}  # of an earlier call with another shape, perhaps
    caught = found(verdict, "forward", "bound") if check == "bound" else found(verdict, check)
    assert str(caught.status) == "failed"
    assert words in caught.detail


@pytest.mark.parametrize(
    ("fake", "shape", "words"),
    [
        ("small_only", (1, 3, 40, 41), "right on small inputs only: right on 6x6, 6x9, 2 of 6x6, wrong on 40x41"),
        ("square_only", (1, 3, 9, 8), "right on square inputs only: right on 6x6, 2 of 6x6, wrong on 9x8, 6x9"),
    ],
)
def test_what_is_wrong_on_the_layers_own_input_is_tried_on_others(
    fake: str, shape: tuple[int, ...], words: str
) -> None:
    (verdict,) = outcome_of(fake, LAYER, shape).layers
    assert str(found(verdict, "forward").status) == "failed"
    assert str(found(verdict, "other_inputs").status) == "failed"
    assert words in found(verdict, "other_inputs").detail


def test_a_kernel_of_one_precision_is_tried_in_that_one() -> None:
    (verdict,) = outcome_of("single", dtypes=("float64", "float32")).layers
    assert str(verdict.status) == "passed"
    found_ones = {(c.name, c.dtype): str(c.status) for c in verdict.checks}
    assert found_ones[("forward", "float64")] == "unsupported"
    assert found_ones[("other_inputs", "float32")] == "passed"


def test_the_reference_itself_is_no_kernel() -> None:
    verdict = verdict_of("reference")
    assert str(verdict.status) == "mistrusted"
    assert "it calls convcli.kernels, the reference itself" in found(verdict, "forward").detail


def test_nothing_expected_is_where_the_kernel_could_read_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a folder for temporary files of this test's own: other runs have theirs."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    for name in ("TMPDIR", "TEMP", "TMP"):
        monkeypatch.setenv(name, str(tmp_path))
    for size in (9, 70):  # in messages, in files
        assert statuses(outcome_of("peeking", shape=(*SHAPE[:2], size, size))) == ["passed"]


def test_a_kernel_may_refuse_views() -> None:
    verdict = verdict_of("contiguous_only")
    assert str(verdict.status) == "passed"
    assert str(found(verdict, "views").status) == "skipped"
    assert found(verdict, "views").detail == "it does not take views (ValueError: x must be C-contiguous)"


def test_a_kernel_made_for_one_size_may_refuse_the_others() -> None:
    verdict = verdict_of("fixed")
    assert str(verdict.status) == "passed"
    assert str(found(verdict, "other_inputs").status) == "skipped"
    assert "no answer for 6x6 (ValueError: made for 9x9)" in found(verdict, "other_inputs").detail


def test_every_kind_of_layer_reaches_the_kernel() -> None:
    """Composites part by part; convcli's own stand in for the user's, and are seen through."""
    outcome = verify(planned(*SMALL[::3]), kernel=target(f"{FAKES}:everything"), dtypes=("float32",))
    for layer in outcome.layers:
        assert str(layer.status) == "mistrusted"
        bad = [c for c in layer.checks if c.status.bad and not c.detail.startswith("it calls convcli.kernels")]
        assert not bad, bad
    assert len({layer.type for layer in outcome.layers}) >= 4


@pytest.mark.torch
def test_torch_tensors() -> None:
    assert statuses(outcome_of("tensors", arrays="torch")) == ["passed"]
    written = outcome_of("scribbling_tensors", arrays="torch").layers[0]
    assert "it writes to its input x" in found(written, "conduct").detail
    assert written.repro.endswith("--arrays torch")


def test_every_stage_has_data_of_its_own(tmp_path: Path) -> None:
    """An answer from one stage or dtype is of no use in another."""
    file = tmp_path / "noting.py"
    file.write_text(
        "import hashlib, pathlib, verify_kernels\n"
        "def conv(x, *rest, **keywords):\n"
        f"    with pathlib.Path({str(tmp_path / 'seen')!r}).open('a') as f:\n"
        "        f.write(f'{x.shape} {hashlib.sha1(x.astype(float).tobytes()).hexdigest()}\\n')\n"
        "    return verify_kernels.right(x, *rest, **keywords)\n"
    )
    outcome = convcli.verify_kernel(f"{file}:conv", LAYER, SHAPE)
    assert outcome.exit_code == 0
    lines = (tmp_path / "seen").read_text().splitlines()
    own = [line for line in lines if line.startswith(str(SHAPE))]
    assert len(own) == 9  # two, one of them again, and the floats; in either dtype; views in the last
    assert len(set(own)) == 7


# Where a kernel is.


@pytest.mark.parametrize(
    ("place", "words"),
    [
        ("conv", "this names no function"),
        ("no_such_module:conv", "there is no module no_such_module"),
        ("convcli.nowhere:conv", "there is no module convcli.nowhere"),
        ("{tmp}/nothing.py:conv", "there is no file nothing.py"),
        ("{tmp}/one.py:conv", "there is no conv in"),
        ("{tmp}/one.py:three", "three is not a function but int"),
        ("{tmp}/wrong.py:conv", "SyntaxError: '(' was never closed (wrong.py, line 2)"),
        ("{tmp}/raising.py:conv", "ZeroDivisionError: division by zero (raising.py, line 2)"),
        ("{tmp}/leaving.py:conv", "SystemExit: 4"),
        ("{tmp}/needing.py:conv", "No module named 'no_such_thing' (needing.py, line 1)"),
    ],
)
def test_a_place_that_is_wrong_says_what_is_wrong(tmp_path: Path, place: str, words: str) -> None:
    texts = {
        "one": "three = 3\ndef other(): pass\n",
        "wrong": "\nprint(\n",
        "raising": "\n1 / 0\n",
        "leaving": "import sys; sys.exit(4)\n",
        "needing": "import no_such_thing\n",
    }
    for name, text in texts.items():
        (tmp_path / f"{name}.py").write_text(text)
    at = Target(place.replace("{tmp}", str(tmp_path)), folder=str(tmp_path))
    with pytest.raises(SpecError) as error:
        function_at(at)
    assert words in str(error.value)
    assert error.value.problems[0].field == "--kernel"


def test_a_module_beside_the_user_and_a_file_with_neighbours(tmp_path: Path) -> None:
    (tmp_path / "kernel_neighbour_a.py").write_text("def conv(x): return x\n")
    (tmp_path / "b.py").write_text("from kernel_neighbour_a import conv\nclass Made:\n    run = conv\n")
    assert function_at(Target("kernel_neighbour_a:conv", folder=str(tmp_path)))(3) == 3
    assert callable(function_at(Target("b.py:Made.run", folder=str(tmp_path))))


def test_arrays_that_are_not_known() -> None:
    with pytest.raises(SpecError, match="--arrays cupy is not known; allowed: numpy, torch"):
        target("a:b", "cupy")


# How it is called.


def test_the_keywords_are_those_of_convclis_kernels() -> None:
    axis = axes((3, 2), stride=(2, 1), padding=((1, 0), (2, 2)))
    conv = keywords(Conv(axes=axis, out_channels=4).settled((2, 9, 9)))
    assert conv == {
        "stride": (2, 1),
        "padding": ((1, 0), (2, 2)),
        "dilation": (1, 1),
        "groups": 1,
        "padding_mode": "zeros",
    }
    transposed = keywords(ConvTranspose(axes=axis, out_channels=4).settled((2, 9, 9)))
    assert set(transposed) == {"stride", "padding", "dilation", "groups", "output_padding"}
    assert set(keywords(DeformConv(axes=axis, out_channels=4).settled((2, 9, 9)))) == {"stride", "padding", "dilation"}
    assert is_default("padding", ((0, 0), (0, 0)))
    assert not is_default("padding", ((0, 1), (0, 0)))


def test_a_function_without_a_signature_is_asked_by_calling_it() -> None:
    class Builtin:
        __signature__ = "none"

        def __call__(self, *arrays: object, **given: object) -> object:  # noqa: ARG002
            for name in ("groups", "padding_mode"):
                if name in given:
                    raise TypeError(f"conv() got an unexpected keyword argument '{name}'")
            return np.zeros(3)

    layer = Conv(axes=axes((3,)), out_channels=4).settled((2, 9))
    arrays = {"x": np.zeros((2, 9)), "weight": np.zeros((4, 2, 3))}
    assert Kernel(Builtin()).forward(layer, arrays).shape == (3,)
    grouped = Conv(axes=axes((3,)), out_channels=4, groups=2).settled((2, 9))
    with pytest.raises(convcli.backends.Unsupported, match="it takes no groups"):
        Kernel(Builtin()).forward(grouped, arrays)


def test_a_function_for_another_kind_of_layer_is_not_called() -> None:
    def conv(x: object, weight: object, bias: object, *, groups: int) -> object:
        raise AssertionError("it is called")

    layer = DeformConv(axes=axes((3, 3)), out_channels=4, bias=False).settled((2, 9, 9))
    arrays = {"x": np.zeros(1), "offset": np.zeros(1), "weight": np.zeros(1)}
    with pytest.raises(convcli.backends.Unsupported, match="it asks for groups, which this kind of layer has not"):
        Kernel(conv).forward(layer, arrays)


@pytest.mark.parametrize(
    ("right", "wrong", "words"),
    [
        ([(4, 4)], [(4, 5)], "right on square inputs only"),
        ([(4, 4), (4, 5)], [(9, 8)], "right on small inputs only"),
        ([(9, 9)], [(4, 4)], "right on 9x9, wrong on 4x4"),
        ([], [(4, 4)], "wrong on 4x4 too"),
    ],
)
def test_the_reason_is_what_the_right_ones_have_in_common(
    right: list[tuple[int, ...]], wrong: list[tuple[int, ...]], words: str
) -> None:
    given = [[Variant((1,), (2, *space)) for space in spaces] for spaces in (right, wrong)]
    assert reason(*given).startswith(words)


# From Python.


def test_a_callable_object_is_taken_along() -> None:
    assert statuses(convcli.verify_kernel(verify_kernels.counting, LAYER, SHAPE, dtypes=("float32",))) == ["passed"]
    wrong = convcli.verify_kernel(verify_kernels.Counting(2), convcli.parse(LAYER), SHAPE, dtypes=("float32",))
    assert statuses(wrong) == ["failed"]
    assert wrong.layers[0].repro.startswith(
        "convcli.verify_kernel(Counting, 'Conv2d(3, 2, 3, padding=1)', (1, 3, 9, 9)"
    )


@pytest.mark.parametrize("function", [3, ()])
def test_what_is_no_function(function: object) -> None:
    with pytest.raises(SpecError, match="is not a function"):
        convcli.verify_kernel(function, LAYER, SHAPE)  # type: ignore[arg-type]


def test_a_lambda_needs_cloudpickle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(SpecError, match="pip install cloudpickle"):
        convcli.verify_kernel(lambda x: x, LAYER, SHAPE)


SCRIPT = """
import convcli, verify_kernels
def mine(x, weight, bias, stride, padding):
    return verify_kernels.plain(x, weight, bias, stride, padding)
try:
    outcome = convcli.verify_kernel(mine, "Conv2d(2, 3, 3)", (1, 2, 9, 9), dtypes=("float32",))
    print(outcome.layers[0].status)
except convcli.SpecError as error:
    print(error)
"""


def test_a_function_of_a_script_without_a_guard(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    paths = os.pathsep.join(sys.path)
    ran = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, env={"PYTHONPATH": paths}, check=False
    )
    assert ran.stderr == ""
    if find_spec("cloudpickle"):
        assert ran.stdout == "passed\n"
    else:
        assert "it is defined in the main program" in ran.stdout
        assert "pip install cloudpickle" in ran.stdout


def test_bytes_that_no_process_can_read() -> None:
    with pytest.raises(SpecError, match="cannot be taken to another process"):
        function_at(Target("f", pickled=pickle.dumps(verify_kernels.right)[:-5]))
