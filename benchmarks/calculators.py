"""The other calculators behind one signature: (model, x) -> Answer. Each is imported only in the process that asks it.

Every tool gets the exact tensor of the case (batched or not) and its own documented call, with its own warnings on.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import logging
import re
import warnings
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

NOTICE = re.compile(
    r"unsupported|not support|cannot find|zero-op|zero mac|treat it|not implemented|unknown|uncounted|is ignored",
    re.IGNORECASE,
)
COLOUR = re.compile(r"\x1b\[[0-9;]*m")


@dataclass
class Answer:
    """What a tool says of one layer; None where it offers no such number. `notice`: what it says it left out."""

    params: int | None = None
    macs: int | None = None
    notice: str = ""
    error: str = ""


@dataclass(frozen=True)
class Calculator:
    """pip installs `package`; `function` of `module` is the call. Without `gradients`, `params`: it offers none.

    isolated: a fresh process for every layer. calflops leaves torch patched when it fails and counts double after it.
    """

    name: str
    package: str
    module: str
    function: str
    ask: Callable[[Any, Any], Answer]
    gradients: Callable[[Any, Any], int] | None = None
    params: bool = True
    isolated: bool = False


def answer(ask: Callable[[Any, Any], Answer], model: Any, x: Any) -> dict[str, Any]:
    """The tool's Answer as a dictionary; an exception is an answer too, and so is what it prints of missing rules."""
    with overheard() as said:
        try:
            told = ask(model, x)
        except Exception as error:
            told = Answer(error=f"{type(error).__name__}: {error}".splitlines()[0][:160])
    lines = [COLOUR.sub("", line).strip() for line in "".join(said).splitlines() if NOTICE.search(line)]
    told.notice = told.notice or " / ".join(dict.fromkeys(lines))[:300]
    return asdict(told)


@contextlib.contextmanager
def overheard() -> Iterator[list[str]]:
    """All that is printed, warned or logged inside, as text."""
    said: list[str] = []
    stream, handler = io.StringIO(), _Listener(said)
    logging.getLogger().addHandler(handler)
    try:
        with (
            contextlib.redirect_stdout(stream),
            contextlib.redirect_stderr(stream),
            warnings.catch_warnings(record=True) as caught,
        ):
            warnings.simplefilter("always")
            yield said
    finally:
        logging.getLogger().removeHandler(handler)
        said += [stream.getvalue(), *(f"{warning.message}\n" for warning in caught)]


class _Listener(logging.Handler):
    def __init__(self, said: list[str]):
        super().__init__()
        self.said = said

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append(record.getMessage() + "\n")


def _torchinfo(model: Any, x: Any) -> Answer:
    told = importlib.import_module("torchinfo").summary(model, input_data=x, verbose=0)
    return Answer(told.total_params, told.total_mult_adds)


def _thop(model: Any, x: Any) -> Answer:
    macs, params = importlib.import_module("thop").profile(model, inputs=(x,), report_missing=True)
    return Answer(int(params), int(macs))


def _ptflops(backend: str) -> Callable[[Any, Any], Answer]:
    def ask(model: Any, x: Any) -> Answer:
        macs, params = importlib.import_module("ptflops").get_model_complexity_info(
            model, tuple(x.shape), input_constructor=lambda _: x,
            as_strings=False, print_per_layer_stat=False, verbose=True, backend=backend,
        )  # fmt: skip
        return Answer(params, None if macs is None else int(macs), error="it gave no number" if macs is None else "")

    return ask


def _fvcore(model: Any, x: Any) -> Answer:
    fvcore = importlib.import_module("fvcore.nn")
    return Answer(fvcore.parameter_count(model)[""], int(fvcore.FlopCountAnalysis(model, x).total()))


def _flop_counter(model: Any, x: Any) -> Answer:
    with importlib.import_module("torch.utils.flop_counter").FlopCounterMode(display=False) as counter:
        model(x)
    return Answer(None, counter.get_total_flops())


def _flop_counter_gradients(model: Any, x: Any) -> int:
    y = model(x.requires_grad_())
    with importlib.import_module("torch.utils.flop_counter").FlopCounterMode(display=False) as counter:
        y.sum().backward()
    backward: int = counter.get_total_flops()
    return backward


def _calflops(model: Any, x: Any) -> Answer:
    _, macs, params = importlib.import_module("calflops").calculate_flops(model, args=[x], **CALFLOPS_QUIET)
    return Answer(int(params), int(macs))


def _calflops_gradients(model: Any, x: Any) -> int:
    """It gives forward and backward together: 1 + its documented default factor of 2 times the forward pass."""
    both, _, _ = importlib.import_module("calflops").calculate_flops(
        model, args=[x], include_backPropagation=True, **CALFLOPS_QUIET
    )
    backward: int = round(both * 2 / 3)
    return backward


def _torchprofile(model: Any, x: Any) -> Answer:
    return Answer(None, int(importlib.import_module("torchprofile").profile_macs(model, x)))


def _flopth(model: Any, x: Any) -> Answer:
    macs, params = importlib.import_module("flopth").flopth(model, inputs=(x,), bare_number=True)
    return Answer(int(params), int(macs))


def _torchlens(model: Any, x: Any) -> Answer:
    told = importlib.import_module("torchlens").trace(model, x)
    unknown = ", ".join(group.func_name for group in told.unknown_flop_ops)
    macs = told.total_macs_forward  # None when a part of it is not known
    return Answer(told.num_params, None if macs is None else int(macs), notice=f"unknown: {unknown}" if unknown else "")


def _torchlens_gradients(model: Any, x: Any) -> int:
    return int(importlib.import_module("torchlens").trace(model, x.requires_grad_()).total_flops_backward)


CALFLOPS_QUIET = {"print_results": False, "print_detailed": False, "output_as_string": False}
CALCULATORS = (
    Calculator("torchinfo", "torchinfo", "torchinfo", "summary", _torchinfo),
    Calculator("thop", "thop", "thop", "profile", _thop),
    Calculator("ultralytics-thop", "ultralytics-thop", "thop", "profile", _thop),
    Calculator("ptflops", "ptflops", "ptflops", "get_model_complexity_info", _ptflops("pytorch")),
    Calculator("ptflops (aten)", "ptflops", "ptflops", "get_model_complexity_info", _ptflops("aten")),
    Calculator("fvcore", "fvcore", "fvcore.nn", "FlopCountAnalysis", _fvcore),
    Calculator(
        "torch flop_counter",
        "torch",
        "torch.utils.flop_counter",
        "FlopCounterMode",
        _flop_counter,
        _flop_counter_gradients,
        params=False,
    ),
    Calculator("calflops", "calflops", "calflops", "calculate_flops", _calflops, _calflops_gradients, isolated=True),
    Calculator("torchprofile", "torchprofile", "torchprofile", "profile_macs", _torchprofile, params=False),
    Calculator("flopth", "flopth", "flopth", "flopth", _flopth),
    Calculator("torchlens", "torchlens", "torchlens", "trace", _torchlens, _torchlens_gradients),
)
