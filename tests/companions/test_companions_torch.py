"""The layers between convolutions against torch.nn: what is legal, shapes, parameters, macs, values, and its words."""

from __future__ import annotations

import inspect
import warnings
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from companion_cases import CASES, TOLD, Case, joins
from hypothesis import note
from laws import examples, holds

from convcli import SpecError
from convcli.backends.companions import exact, rounds, untold, values
from convcli.plan import Network, Step, plan
from convcli.spec.build import network, printed_network
from convcli.spec.companions import FORMS
from convcli.spec.form import Form
from convcli.verifier.bounds import gamma
from convcli.verifier.case import Case as Data
from convcli.verifier.companion_fills import ordinary, whole
from convcli.verifier.exchange import store

torch: Any = pytest.importorskip("torch")
theirs: Any = pytest.importorskip("convcli.backends.torch_companions")
nn = torch.nn
torch.set_num_threads(1)
pytestmark = pytest.mark.torch
ERRORS = (RuntimeError, ValueError, AssertionError, IndexError, NotImplementedError, TypeError)
UNUSED = {"num_features", "num_channels"}  # torch does not look at them where there are no weights


def step_of(case: Case) -> Step:
    """The layer at its place in a network of its own, whose input may have any number of axes."""
    document = network({"layers": [{"type": case.type, **case.fields}]}, "")
    (step,) = plan(Network(document.entries, input=case.shape)).steps
    return step


def step_of_legal(case: Case) -> Step | SpecError:
    """The same, or why it is refused."""
    try:
        return step_of(case)
    except SpecError as error:
        return error


def torch_module(case: Case) -> Any:
    """The module of that name with the same words."""
    return getattr(nn, case.type)(**case.fields).eval()


def torch_shape(case: Case) -> tuple[int, ...] | str:
    """The output's shape on real zeros, or why PyTorch refuses."""
    x = torch.zeros(case.shape, dtype=torch.long if case.type == "Embedding" else torch.float32)
    try:
        module = torch_module(case)
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            y = module(*[x] * (3 if case.type == "MultiheadAttention" else 1))
        return tuple((y[0] if isinstance(y, tuple) else y).shape)
    except ERRORS as error:
        return f"{type(error).__name__}: {error}"


@pytest.mark.parametrize("family", CASES)
@examples(100, 1000)
def test_shapes_and_what_is_refused_are_torchs(family: str, count: int) -> None:
    def law(case: Case) -> None:
        found = torch_shape(case)
        note(f"torch: {found}")
        step = step_of_legal(case)
        if isinstance(step, SpecError):
            unused = step.problems[0].path[-1] in UNUSED and not case.fields.get("affine")
            assert isinstance(found, str) or unused, f"refused: {step}"  # torch looks at the numbers it needs
            return
        assert step.shown(step.y) == found
        named = dict(torch_module(case).named_parameters())
        assert step.layer.tensors(step.x) == {name: tuple(tensor.shape) for name, tensor in named.items()}

    holds(law, CASES[family], count)


def check_values(step: Step) -> None:
    """Equal on data of few bits, within the bound on ordinary floats; facts as torch counts them."""
    data = Data(step.layer, step.x, step.batch)
    shapes = tuple(data.shape(name) for name in ("x", *step.layer.side_inputs(step.x)))
    facts = theirs.facts(step.layer, shapes)
    y = (*step.batch, *step.y)
    macs = step.layer.counts(step.x, step.images).macs
    assert facts == type(facts)(y, step.layer.tensors(step.x), macs)
    if untold(step.layer):
        return
    assert exact(step.layer) or rounds(step.layer)
    for dtype in ("float64", "float32"):
        for fill in [whole] * exact(step.layer) + [lambda case, _: ordinary(case)] * rounds(step.layer):
            with TemporaryDirectory() as folder:
                arrays = store(folder, "a", fill(data, 24)).load(dtype)
            said, z = values(step.layer, arrays), theirs.forward(step.layer, arrays)
            assert said.y.shape == z.shape == y
            assert z.dtype == dtype
            if fill is whole:
                np.testing.assert_array_equal(said.y, z)
            elif said.scale is not None:
                step_size = (gamma(said.roundings, dtype) or 0) + (gamma(said.roundings, "float64") or 0)
                assert np.all(np.abs(said.y - z) <= step_size * said.scale)


@pytest.mark.parametrize("family", CASES)
@examples(40, 500)
def test_values_are_torchs(family: str, count: int) -> None:
    def law(case: Case) -> None:
        step = step_of_legal(case)
        if isinstance(step, SpecError):
            return
        if case.fields.get("num_features", 0) in {0, step.x[0] if step.x else 0}:
            check_values(step)

    holds(law, CASES[family], count)


@examples(60, 500)
def test_joins_and_reductions_are_torchs(count: int) -> None:
    """Of several inputs: shapes that broadcast, or do not."""

    def law(case: Case) -> None:
        constants = [{"type": "Constant", "shape": shape, "name": f"x{n}"} for n, shape in enumerate(case.shape)]
        names = [one["name"] for one in constants]
        layer = {"type": case.type, "from": names, **case.fields}
        made = network({"layers": [*constants, layer]}, "")
        try:
            step = plan(made).steps[-1]
        except SpecError as error:
            note(str(error))
            entry = made.entries[-1]
            assert entry.layer is not None
            settled = entry.made(2)
            with pytest.raises(ERRORS):
                theirs.made(settled)(*map(torch.zeros, case.shape))
            return
        check_values(step)

    holds(law, joins(), count)


OF_TORCH = [form for form in FORMS if hasattr(nn, form.type) and form.type != "Parameter"]


@pytest.mark.parametrize("form", OF_TORCH, ids=lambda form: form.type)
def test_words_and_their_order_are_torchs(form: Form) -> None:
    """By position as torch's constructor takes them, by name all of them, with the defaults that it has."""
    signature = inspect.signature(getattr(nn, form.type).__init__)
    parameters = {name: p for name, p in signature.parameters.items() if name not in {"self", "args", "kwargs"}}
    assert tuple(parameters)[: len(form.order)] == form.order
    fields = form.fields.__struct_fields__
    machine = {"device", "dtype", "sparse", "max_norm", "norm_type", "scale_grad_by_freq", "_weight", "_freeze"}
    assert set(parameters) - machine - {"min_value", "max_value"} <= set(fields)
    required = {name for name, p in parameters.items() if p.default is inspect.Parameter.empty}
    ours = form.fields.__struct_fields__[-len(form.fields.__struct_defaults__) :]
    defaults = dict(zip(ours, form.fields.__struct_defaults__, strict=True))
    for name in set(form.order) & set(defaults) - required:
        told = parameters[name].default
        assert defaults[name] == told or defaults[name] is None, f"{name}={told} in torch"


EXAMPLES = {
    "MaxPool2d": (3,), "AvgPool2d": (2,), "AvgPool1d": (3, 2, 1), "MaxPool1d": (2,), "AdaptiveAvgPool2d": ((1, 1),),
    "AdaptiveMaxPool1d": (4,), "BatchNorm1d": (6,), "BatchNorm2d": (6,), "InstanceNorm2d": (6,), "GroupNorm": (2, 6),
    "LayerNorm": ((7,),), "RMSNorm": (7,), "Linear": (7, 3), "Embedding": (5, 4), "PixelShuffle": (2,),
    "ZeroPad2d": (1,), "ConstantPad1d": ((1, 2), 0.5), "ReflectionPad2d": ((1, 1, 2, 0),), "Upsample": (None, 2),
    "Softmax": (1,), "PReLU": (6,), "Threshold": (0.5, 1.0), "Dropout": (0.1,), "Flatten": (), "LeakyReLU": (0.3,),
    "Identity": (), "MaxPool3d": (2,), "AdaptiveAvgPool3d": ((None, 2, 1),), "AvgPool3d": (2,), "BatchNorm3d": (6,),
}  # fmt: skip


@pytest.mark.parametrize("name", [form.type for form in OF_TORCH if form.rank == 0 or form.type in EXAMPLES])
def test_what_torch_prints_is_read_back(name: str) -> None:
    """print(model) of a model that holds the module: the same layer as the constructor's words make."""
    if name == "MultiheadAttention":
        pytest.skip("PyTorch prints what is inside it, and not what it is")
    words = EXAMPLES.get(name, ())
    module = nn.Sequential(getattr(nn, name)(*words, **({} if words else TOLD.get(name, {}))))
    (printed,) = printed_network(str(module), "").entries
    order = next(form.order for form in FORMS if form.type == name)
    fields = {"type": name, **(dict(zip(order, words, strict=False)) if words else TOLD.get(name, {}))}
    (spelled,) = network({"layers": [fields]}, "").entries
    assert printed.layer is not None
    assert spelled.layer is not None
    assert printed.made(2) == spelled.made(2)
