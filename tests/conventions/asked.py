"""The calculators themselves, each asked as its documentation says; all of them see the model in eval mode."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import io
import logging
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest


class Answer(NamedTuple):
    """MACs (FLOPs / 2 of torch) and parameters, None where the tool has no such number."""

    macs: int | float | None
    params: int | None


def asked(tool: str, model: Any, x: Any) -> Answer:
    """What `tool` says. What it prints, logs and warns about is swallowed."""
    if not INSTALLED[tool]:
        pytest.skip(f"{tool} is not installed")
    quiet = logging.getLogger()
    level, quiet.level = quiet.level, logging.CRITICAL
    try:
        with (
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("ignore")
            try:
                importlib.import_module(MODULES[tool])
            except ImportError as error:  # thop asks for distutils, which Python 3.12 is without
                pytest.skip(f"{tool} does not import here: {error}")
            return ASK[tool](model.eval(), x)
    finally:
        quiet.level = level


def _torchinfo(model: Any, x: Any) -> Answer:
    told = importlib.import_module("torchinfo").summary(model, input_data=x, verbose=0)
    return Answer(told.total_mult_adds, told.total_params)


def _thop(model: Any, x: Any) -> Answer:
    macs, params = importlib.import_module("thop").profile(model, inputs=(x,), verbose=False)
    return Answer(int(macs), int(params))


def _ptflops(model: Any, x: Any) -> Answer:
    macs, params = importlib.import_module("ptflops").get_model_complexity_info(
        model,
        tuple(x.shape),
        input_constructor=lambda _: x,
        as_strings=False,
        print_per_layer_stat=False,
        backend="pytorch",
    )
    return Answer(macs, params)


def _fvcore(model: Any, x: Any) -> Answer:
    fvcore = importlib.import_module("fvcore.nn")
    analysis = fvcore.FlopCountAnalysis(model, x).unsupported_ops_warnings(enabled=False)
    return Answer(int(analysis.total()), fvcore.parameter_count(model)[""])


def _torch(model: Any, x: Any) -> Answer:
    with importlib.import_module("torch.utils.flop_counter").FlopCounterMode(display=False) as counter:
        model(x)
    return Answer(counter.get_total_flops() // 2, None)


ASK: dict[str, Callable[[Any, Any], Answer]] = {
    "torchinfo": _torchinfo,
    "thop": _thop,
    "ptflops": _ptflops,
    "fvcore": _fvcore,
    "torch": _torch,
}
MODULES = {name: name for name in ASK} | {"fvcore": "fvcore.nn"}
INSTALLED = {name: importlib.util.find_spec(name) is not None for name in ASK}
EACH = [
    pytest.param(name, marks=[pytest.mark.torch, pytest.mark.skipif(not there, reason=f"{name} is not installed")])
    for name, there in INSTALLED.items()
]
