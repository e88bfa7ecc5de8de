"""LSTM, GRU and plain recurrent layers: the products of all steps at once, as many as there are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from convcli.importer.graph import Node
from convcli.importer.torch.table import on
from convcli.importer.torch.trace import Call, Trace, shape
from convcli.importer.torch.weights import layer, unknown

GATES = {"lstm": 4, "gru": 3, "rnn_tanh": 1, "rnn_relu": 1}


@on(*GATES)
def _recurrent(trace: Trace, call: Call) -> Node | None:
    """h[t] = f(x[t] W_ih^T + b_ih + h[t-1] W_hh^T + b_hh), layer by layer, there and, if told, back."""
    out = call.out[0]
    flat, biased, layers = call.args[2:5]
    directions, each = (2 if call.args[7] else 1), 4 if biased else 2
    if not isinstance(flat, tuple | list) or len(flat) != layers * directions * each:
        return unknown(trace, call)  # packed sequences, projections
    x: Any = call.x
    for at in range(layers):
        ends = []
        for way in range(directions):
            held = flat[(at * directions + way) * each :][:each]
            end = _steps(trace, call, x, held, shape(out)[:-1])
            if end is None:
                return unknown(trace, call)
            ends.append(end)
        joined = (*shape(out)[:-1], sum(end.shape[-1] for end in ends))
        x = trace.add("Concat", {"dim": -1}, ends, joined) if directions > 1 else ends[0]
    trace.gives(out, x)
    for state in call.out[1:]:
        trace.gives(state, trace.add("Rearrange", {"shape": shape(state)}, [x], shape(state), "state"))
    return None


def _steps(trace: Trace, call: Call, x: Any, held: Sequence[torch.Tensor], before: tuple[int, ...]) -> Node | None:
    """All steps of one direction of one layer. The states that the second product takes stand for themselves."""
    gates, width = GATES[call.name], int(held[1].shape[1])
    wide, narrow = (*before, gates * width), (*before, width)
    biases = held[2:] or (None, None)
    one = _linear(trace, x, held[0], biases[0], wide)
    if one is None:
        return None
    states = trace.add("Rearrange", {"shape": narrow}, [one], narrow, "states")
    two = _linear(trace, states, held[1], biases[1], wide)
    if two is None:
        return None
    both = trace.add("Add", {}, [one, two], wide)
    if gates == 1:
        return trace.add("ReLU" if call.name == "rnn_relu" else "Tanh", {}, [both], narrow)
    opened = trace.add("Sigmoid", {}, [both], wide, "gates")
    parts = [trace.add("Rearrange", {"shape": narrow}, [opened], narrow, "gate") for _ in range(gates)]
    kept = trace.add("Multiply", {}, [parts[0], states], narrow)
    new = trace.add("Multiply", {}, [parts[1], parts[2]], narrow)
    cell = trace.add("Add", {}, [kept, new], narrow, "cell")
    if gates == 3:
        return cell
    return trace.add("Multiply", {}, [parts[3], trace.add("Tanh", {}, [cell], narrow)], narrow, "hidden")


def _linear(trace: Trace, x: Any, weight: torch.Tensor, bias: torch.Tensor | None, out: tuple[int, ...]) -> Node | None:
    said = Call("linear", (x,), {}, torch.empty(out, device="meta"))
    return layer(trace, "Linear", {"out_features": out[-1]}, [x], said, weight=weight, bias=bias)
