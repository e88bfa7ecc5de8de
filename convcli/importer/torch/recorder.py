"""Every function of torch that a model calls, seen as it is called: known ones are recorded, others taken apart.

A function of torch in Python that is not known runs, and what it calls is seen in its place; one in C++ is seen as the
operations of aten that it consists of. What is not known there either is an `Unknown` of that name.
"""

from __future__ import annotations

from collections.abc import Callable
from types import FunctionType
from typing import Any

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from convcli.importer.torch import moves, pointwise, products, recurrent, weights
from convcli.importer.torch.assumed import ASSUMED, masked
from convcli.importer.torch.ghost import Ghost, NeedsDataError, in_place, tensors
from convcli.importer.torch.table import TABLE
from convcli.importer.torch.trace import Call, Trace, shape

HANDLERS = (moves, pointwise, products, recurrent, weights)  # importing them has filled the table
PROPERTIES = frozenset({"T", "mT", "H", "mH", "data", "real"})
PLAIN = frozenset({"size", "dim", "ndimension", "numel", "nelement", "stride", "element_size", "is_floating_point",
                   "is_complex", "is_contiguous", "storage_offset", "get_device", "__len__", "is_cuda", "__hash__",
                   "is_inference", "is_signed", "__repr__", "__format__", "_is_view", "has_names", "is_nonzero_static",
                   "register_hook", "retain_grad", "set_", "__set__", "__delete__", "finfo", "iinfo", "result_type",
                   "broadcast_shapes", "is_same_size", "can_cast", "promote_types", "_assert", "is_tensor",
                   "_assert_async", "manual_seed", "set_grad_enabled", "is_grad_enabled", "get_default_dtype",
                   "is_storage", "__reduce_ex__", "__deepcopy__", "is_conj", "is_neg", "dim_order", "__dir__",
                   "data_ptr", "untyped_storage", "storage"})  # fmt: skip
BLANK = frozenset({"new_zeros", "new_ones", "new_full", "new_empty", "new_tensor", "zeros_like", "ones_like",
                   "full_like", "empty_like", "rand_like", "randn_like"})  # fmt: skip
VALUE = frozenset({"item", "__bool__", "tolist", "__int__", "__float__", "__index__", "equal", "allclose", "numpy",
                   "is_nonzero", "__array__", "__complex__", "__contains__", "isclose_all"})  # fmt: skip


class Recorder(TorchFunctionMode):  # type: ignore[misc]
    """While a model runs: its operations go to `trace`. ghost: None where tensors are real."""

    def __init__(self, trace: Trace, ghost: Ghost | None):
        super().__init__()
        self.trace, self.ghost = trace, ghost
        self.silent = 0  # inside of a module that is recorded as a whole
        self._words: dict[Any, str] = {}
        self._bodies: dict[Any, Callable[..., Any]] = {}

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Torch calls this in place of each of its functions."""
        del types
        kwargs = kwargs or {}
        name = self._words.get(func) or self._words.setdefault(func, word(func))
        if name in PLAIN or self.silent:
            return self._called(func, name, args, kwargs)
        if name in VALUE:
            return self._value(func, name, args, kwargs)
        key = handled(name)
        if key is None and isinstance(func, FunctionType) and name not in ASSUMED:
            with self:
                return self._body(func)(*args, **kwargs)
        if name in BLANK or self.trace.free(key, args, kwargs):
            out = self._called(func, name, args, kwargs)
            for x in tensors(out):
                if id(x) not in self.trace.constants:
                    self.trace.keep(x, self.trace.constants, "")
            return out
        return self._recorded(func, name, key, args, kwargs)

    def _recorded(
        self, func: Callable[..., Any], name: str, key: str | None, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        if self.ghost and name in ASSUMED:
            out = ASSUMED[name](self.trace, args, kwargs)
            if out is not None:
                return out
        if self.ghost and key in {"getitem", "setitem"}:
            args = masked(self.trace, args)
        if key is None:
            with Below(self.trace, self.ghost):
                out = self._called(func, name, args, kwargs)
        else:
            out = self._called(func, name, args, kwargs)
            record(self.trace, key, args, kwargs, out)
            if kwargs.get("inplace") or in_place(name):
                written(self.trace, args[0])
        whatever_is_left(self.trace, name, args, kwargs, out)
        return out

    def _called(self, func: Callable[..., Any], name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return self.ghost.call(func, name, args, kwargs) if self.ghost else func(*args, **kwargs)

    def _value(self, func: Callable[..., Any], name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """A value that Python asks for: there is one where it depends on nothing large."""
        if self.ghost and any(map(self.ghost.bare, tensors((args, kwargs)))):
            where = self.trace.modules[-1].path
            raise NeedsDataError(f"{where or 'the model'} asks for a value ({name.strip('_')}) that depends on data")
        return func(*args, **kwargs)

    def _body(self, func: FunctionType) -> Callable[..., Any]:
        """`func` without its own question whether somebody overrides it, which would lead here again."""
        if func not in self._bodies:
            blind = {name: _no for name in func.__globals__ if name.startswith("has_torch_function")}
            world = {**func.__globals__, **blind}
            made = FunctionType(func.__code__, world, func.__name__, func.__defaults__, func.__closure__)
            made.__kwdefaults__ = func.__kwdefaults__
            self._bodies[func] = made
        return self._bodies[func]


class Below(TorchDispatchMode):  # type: ignore[misc]
    """The operations of aten that a function in C++ consists of."""

    def __init__(self, trace: Trace, ghost: Ghost | None):
        super().__init__()
        self.trace, self.ghost = trace, ghost

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Torch calls this in place of each operation."""
        del types
        kwargs = kwargs or {}
        name = func.overloadpacket.__name__
        with torch._C.DisableTorchFunction():  # noqa: SLF001 - or it would be seen again, above
            out = self.ghost.call(func, name, args, kwargs) if self.ghost else func(*args, **kwargs)
        if name in BLANK or self.trace.free(handled(name), args, kwargs):
            for x in tensors(out):
                self.trace.keep(x, self.trace.constants, "")
            return out
        record(self.trace, handled(name) or name, args, kwargs, out)
        if in_place(name):
            written(self.trace, args[0])
        whatever_is_left(self.trace, name, args, kwargs, out)
        return out


def _no(*args: object, **kwargs: object) -> bool:
    del args, kwargs
    return False


def word(func: Any) -> str:
    """What a function is called: `T` and `data` for the properties of that name, `__get__` for the others."""
    name = str(getattr(func, "__name__", type(func).__name__))
    if name == "__get__":
        told = getattr(getattr(func, "__self__", None), "__name__", "")
        return told if told in PROPERTIES else "size"
    return name


def handled(name: str) -> str | None:
    """The name under which the table has a function: without the marks of operators and of writing in place."""
    for key in (name, name.rstrip("_"), name.strip("_")):
        if key in TABLE:
            return key
    return None


def record(trace: Trace, key: str, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> None:
    """The node, or nodes, of one call."""
    call = Call(key, args, kwargs, out)
    node = TABLE.get(key, weights.unknown)(trace, call) if any(True for _ in tensors(out)) or key == "setitem" else None
    if node is None:
        return
    results = list(tensors(out))
    trace.gives(results[0], node)
    for other in results[1:]:  # indices, weights: they come out of the same operation
        made = trace.add("Rearrange", {"shape": shape(other)}, [node], shape(other))
        trace.gives(other, made)


def written(trace: Trace, x: torch.Tensor) -> None:
    """x was written to: where it is a view, so was the tensor that it shows a part of."""
    base = x._base  # noqa: SLF001 - torch's name for it
    if base is not None and id(base) in trace.made and id(x) in trace.made:
        node = trace.add("Rearrange", {"shape": shape(base)}, [base, x], shape(base), "written")
        trace.gives(base, node)


def whatever_is_left(trace: Trace, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> None:
    """A result that came about unseen is an operation nobody knows the cost of."""
    for x in tensors(out):
        if not any(id(x) in table for table in (trace.made, trace.params, trace.constants)):
            trace.gives(x, weights.unknown(trace, Call(name, args, kwargs, x)))
