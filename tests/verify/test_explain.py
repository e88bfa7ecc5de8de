"""What a failure is told to be: measured over the catalogue of known mistakes, and tried as users would."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import msgspec
import numpy as np
import pytest
from drawn import Case as Drawn
from drawn import cases, regions
from explain_here import explained
from hypothesis import given, settings
from verify_layers import planned as planned_layers

import convcli
from convcli.backends import numpy as ours
from convcli.plan import Plan
from convcli.verifier.bounds import BITS
from convcli.verifier.case import Case
from convcli.verifier.explain import explanation
from convcli.verifier.explain.contributions import Sum, Term, lines, missing, sum_of
from convcli.verifier.explain.data import nonzero, sifted
from convcli.verifier.explain.votes import sentence
from convcli.verifier.fills import structural
from convcli.verifier.gradient_fills import structural_gradients
from convcli.verifier.job import effort
from convcli.verifier.mutants import MUTANTS, planned
from convcli.verifier.region_boxes import dyadic
from convcli.verifier.run import verify
from convcli.verifier.tolerances import loaded
from convcli.verifier.verdict import LayerVerdict, Smallest

NEVER_CAUGHT = {"strides_of_x_ignored", "strides_of_the_weight_ignored"}  # `verify` hands over arrays in C order
SAMPLE = sorted(set(MUTANTS) - NEVER_CAUGHT)[::9]


def plan_of(*layers: tuple[str, tuple[int, ...]]) -> Plan:
    return planned_layers(*((convcli.parse(text), shape) for text, shape in layers))


class Diagnosis(msgspec.Struct):
    """named: rightly; products: of the shrunk layer, own: of the smallest layer that the catalogue knows."""

    name: str
    named: bool
    guesses: tuple[str, ...]
    products: int
    own: int


def diagnosed(name: str) -> Diagnosis:
    mutant = MUTANTS[name]
    _, told = explained(name)
    assert told.smallest
    least, own = planned(told.smallest.layer, told.smallest.input), mutant.step
    products = [effort(step.layer, step.x, step.images) for step in (least, own)]
    return Diagnosis(name, mutant.says in told.looks_like, told.looks_like, *products)


@pytest.mark.parametrize(
    "names",
    [
        pytest.param(SAMPLE, id="sample"),
        pytest.param(sorted(set(MUTANTS) - NEVER_CAUGHT), id="all", marks=pytest.mark.long),
    ],
)
def test_the_diagnosis_names_the_mistake_and_the_layer_is_small(names: list[str]) -> None:
    found = [diagnosed(name) for name in names]
    assert [one for one in found if one.guesses and not one.named] == [], "an innocent one is named"
    assert sum(not one.named for one in found) <= max(1, len(found) // 50)  # double_in_single only rounds
    assert sum(one.products <= max(one.own, 4) for one in found) >= 0.93 * len(found)
    assert max(one.products / one.own for one in found) <= 10


def test_a_right_side_is_never_explained() -> None:
    outcome = verify(plan_of(("Conv2d(2, 3, 3)", (1, 2, 5, 6))), against="verify_fakes:faithful", dtypes=("float32",))
    assert all(not layer.explanation for layer in outcome.layers)


@settings(max_examples=80)
@given(cases())
def test_the_terms_are_the_cells_and_weights_and_add_up(drawn: Drawn) -> None:
    layer = dyadic(drawn.layer)
    arrays = loaded(structural(Case(layer, drawn.x, drawn.lead), 24), "float64")
    y = ours.forward(layer, arrays)
    place = tuple(size - 1 for size in y.shape)
    found = sum_of(layer, arrays, "y", place)
    assert found
    assert found.total == (pytest.approx(y[place]) if drawn.on_regions else y[place])  # a share of 1/3 is rounded
    for term in found.terms:
        assert term.cell is None or term.source != "x" or arrays["x"][term.cell] == term.value
        assert term.by == "share" if drawn.on_regions else arrays[term.by][term.place] == term.factor


@settings(max_examples=40)
@given(regions())
def test_a_share_is_what_the_cell_moves_the_bin_by(drawn: Drawn) -> None:
    layer = dyadic(drawn.layer)
    arrays = loaded(structural(Case(layer, drawn.x, ()), 24), "float64")
    y = ours.forward(layer, arrays)
    place = tuple(size - 1 for size in y.shape)
    found = sum_of(layer, arrays, "y", place)
    assert found
    shares = {term.place: term.factor for term in found.terms}
    for cell in np.ndindex(drawn.x):  # x is positive: a cell without a term has no share
        more = arrays["x"].copy()
        more[cell] += 1
        moved = ours.forward(layer, {**arrays, "x": more})[place] - y[place]
        assert moved == pytest.approx(shares.get(cell, 0.0), abs=1e-9)


@pytest.mark.parametrize("name", ["x", "weight"])
@settings(max_examples=40)
@given(cases())
def test_the_terms_of_a_gradient_add_up_too(name: str, drawn: Drawn) -> None:
    layer = dyadic(drawn.layer)
    arrays = loaded(structural_gradients(Case(layer, drawn.x, drawn.lead), BITS["float64"]), "float64")
    gradient = ours.backward(layer, {key: array for key, array in arrays.items() if key != "dy"}, arrays["dy"])
    if name not in gradient:  # a composite
        return
    place = tuple(size - 1 for size in gradient[name].shape)
    found = sum_of(layer, arrays, name, place)
    assert (found is None) == bool(layer.parts(drawn.x))
    expected = gradient[name][place]
    assert found is None or found.total == (pytest.approx(expected) if drawn.on_regions else expected)


def summed(*products: int, bias: float = 0, found: float = 0) -> Sum:
    terms = tuple(Term("x", (0, i), value, "weight", (0, i, i), 1) for i, value in enumerate(products))
    return Sum("y", (0, 0, 0), bias, terms, found)


def test_what_is_missing_is_named_when_it_can_be_one_thing_alone() -> None:
    assert missing(summed(3, 5, 9, found=12)) == "found is expected minus the product x[0, 1] * weight[0, 1, 1]"
    assert (
        missing(summed(3, 5, 9, found=26)) == "found is expected plus once more the product x[0, 2] * weight[0, 2, 2]"
    )
    assert missing(summed(3, 5, bias=7, found=8)) == "found is expected minus the bias"
    assert missing(summed(3, 5, bias=7, found=7)) == "found is the bias alone"
    assert missing(summed(4, 4, 9, found=13)) == ""
    assert missing(summed(3, 5, found=float("nan"))) == ""
    assert lines(summed(*range(1, 31)))[-1] == "and 21 more"


def test_data_are_sifted_to_what_the_difference_needs() -> None:
    arrays = {"x": np.arange(1.0, 101).reshape(10, 10), "weight": np.full((3, 3), 5.0), "bias": np.ones(4)}
    needed = [("weight", 4), ("x", 37)]
    tried: list[int] = []

    def differ(data: dict[str, np.ndarray]) -> bool:
        tried.append(1)
        return all(data[name].flat[index] for name, index in needed)

    found = sifted(arrays, differ, seconds=60.0)  # type: ignore[arg-type]
    assert sorted(nonzero(found)) == needed
    assert {found[name].flat[index] for name, index in needed} == {1.0}
    assert len(tried) < 300
    assert arrays["x"][0, 0] == 1


def test_the_forms_vote() -> None:
    said = {"loops": "convcli", "im2col": "convcli", "torch": "convcli"}
    assert sentence(said, "conv") == "loops, im2col and torch agree with convcli: conv is wrong"
    assert sentence({**dict.fromkeys(said, "other"), "loops": "convcli"}, "jax") == (
        "loops agrees with convcli, im2col and torch agree with jax: convcli is wrong"
    )
    assert sentence({"loops": ""}, "jax") == "loops agrees with neither: it is not known who is wrong"
    assert sentence({}, "jax") == ""


KERNEL = """
import numpy as np
from numpy.lib.stride_tricks import sliding_window_view


def conv(x, weight, bias, stride, padding, dilation):
    x = np.pad(x, ((0, 0), (0, 0), *padding))
    spans = [d * (k - 1) + 1 for d, k in zip(dilation, weight.shape[2:])]
    step = (..., *(slice(None, None, s) for s in stride), *(slice(None, None, d) for d in dilation))
    y = np.einsum("nchwij,ocij->nohw", sliding_window_view(x, spans, axis=(2, 3))[step], weight)
    return y if bias is None else y + bias[:, None, None]


def tapless(x, weight, bias, stride, padding, dilation):
    weight = weight.copy()
    weight[:, :, 0, 2:] = 0
    return conv(x, weight, bias, stride, padding, dilation)
"""
LAYER = ("Conv2d(3, 4, 3, stride=(2, 1), padding=1)", "-i", "2,3,9,8")


def ran(words: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    env = {"PYTHONPATH": str(Path(convcli.__file__).parent.parent), "PATH": "", "HOME": str(folder)}
    return subprocess.run([sys.executable, *words], cwd=folder, env=env, capture_output=True, text=True, check=False)


def reproduces(least: Smallest, folder: Path) -> None:
    """The command line fails once more, and the script prints two different answers."""
    import shlex

    words = shlex.split(least.repro)
    assert ran(["-m", *words, "--no-explain"], folder).returncode == 1
    script = ran(["-c", least.python], folder)
    assert script.returncode == 0, script.stderr
    mine, other = (
        script.stdout.replace("\n", "").split(" ", 1)[1].rsplit(least.python.rsplit('print("', 1)[1].split('"')[0], 1)
    )
    assert mine.strip() != other.strip(), script.stdout


def test_a_users_kernel_is_explained_saved_and_replayed(tmp_path: Path) -> None:
    (tmp_path / "k.py").write_text(KERNEL)
    command = ["-m", "convcli", "verify", *LAYER, "--dtype", "float32", "--kernel", "k.py:tapless"]
    told = ran([*command, "--save-failures", "kept", "--format", "json"], tmp_path)
    assert told.returncode == 1, told.stderr
    layer = msgspec.json.decode(told.stdout)["layers"][0]
    verdict = msgspec.convert(layer, LayerVerdict)
    found = verdict.explanation
    assert found
    assert found.smallest
    assert found.contributions[-1] == "found is expected minus the products of tap (0, 2)"
    assert "agree with convcli: tapless is wrong" in found.votes
    assert (found.smallest.layer, found.smallest.input) == ("Conv2d(1, 1, (1, 3), bias=False)", (1, 1, 1, 3))
    assert found.smallest.data == (
        "x[0, 0, 0, 2] = 1, weight[0, 0, 0, 2] = 1, the rest 0: y[0, 0, 0, 0] expected 1, found 0"
    )
    assert len(found.smallest.python.splitlines()) <= 9
    reproduces(found.smallest, tmp_path)
    files = sorted(file.name for file in (tmp_path / "kept").iterdir())
    assert "conv2d_1-forward-exact-float32.npz" in files
    assert all(name.endswith(".npz") for name in files)
    replay = ["-m", "convcli", "verify", "--replay", "kept/conv2d_1-forward-exact-float32.npz"]
    again = ran([*replay, "--format", "json"], tmp_path)
    assert again.returncode == 1, again.stderr
    (check,) = msgspec.json.decode(again.stdout)["layers"][0]["checks"]
    assert (check["name"], check["status"]) == ("forward", "failed")
    mended = ran([*replay, "--kernel", "k.py:conv"], tmp_path)
    assert mended.returncode == 0, mended.stdout + mended.stderr
    bound = ["-m", "convcli", "verify", "--replay", "kept/conv2d_1-forward-bound-float32.npz"]
    assert [ran([*bound, "--kernel", f"k.py:{name}"], tmp_path).returncode for name in ("tapless", "conv")] == [1, 0]


@pytest.mark.parametrize(
    ("mutant", "layer", "shape", "settings"),
    [
        ("offsets_as_x_y", "DeformConv2d(2, 3, 3, padding=1)", (1, 2, 6, 5), {}),
        ("depthwise_bias_missing", "SeparableConv2d(2, 3, 3, padding=1)", (1, 2, 6, 5), {}),
        ("grad_weight_flipped", "Conv2d(2, 3, 3, padding=1)", (1, 2, 6, 5), {"grad": True}),
    ],
)
def test_it_reproduces_for_every_kind(
    tmp_path: Path, mutant: str, layer: str, shape: tuple[int, ...], settings: dict[str, bool]
) -> None:
    against = f"convcli.verifier.mutants:{mutant}"
    (verdict,) = verify(plan_of((layer, shape)), against=against, dtypes=("float32",), **settings).layers  # type: ignore[arg-type]
    assert verdict.explanation
    assert verdict.explanation.looks_like == (MUTANTS[mutant].says,)
    assert verdict.explanation.smallest
    reproduces(verdict.explanation.smallest, tmp_path)


def test_the_first_three_are_shrunk_and_the_rest_says_so() -> None:
    layers = plan_of(*((f"Conv2d(2, {count}, 3)", (1, 2, 5, 6)) for count in range(1, 6)))
    outcome = verify(layers, against="convcli.verifier.mutants:kernel_flipped", dtypes=("float32",))
    found = [layer.explanation for layer in outcome.layers]
    assert [bool(one and one.smallest) for one in found] == [True] * 3 + [False] * 2
    assert all(one and one.looks_like for one in found)
    assert all("first 3" in one.note for one in found[3:] if one)


def test_ctrl_c_keeps_what_was_found(monkeypatch: pytest.MonkeyPatch) -> None:
    real = explanation.explanation
    calls: list[int] = []

    def impatient(*args: object, **more: object) -> object:
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(*args, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(explanation, "explanation", impatient)
    layers = plan_of(*((f"Conv1d(2, {count}, 3)", (1, 2, 5)) for count in range(1, 4)))
    outcome = verify(layers, against="convcli.verifier.mutants:kernel_flipped", dtypes=("float32",))
    assert outcome.exit_code == 130
    assert [layer.status for layer in outcome.layers] == ["failed"] * 3
    assert [bool(layer.explanation) for layer in outcome.layers] == [True, False, False]


def test_files_that_are_no_failures_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "one.npy", np.ones(2))
    np.savez(tmp_path / "foreign.npz", a=np.ones(2))
    np.savez(tmp_path / "pickled.npz", a=np.array([{}], dtype=object))
    (tmp_path / "torn.npz").write_bytes((tmp_path / "foreign.npz").read_bytes()[:100])
    for name in ("one.npy", "foreign.npz", "pickled.npz", "torn.npz", "absent.npz"):
        with pytest.raises(convcli.SpecError, match=name):
            convcli.replay(tmp_path / name)
