"""What a command line names: files, layers spelled out, one layer by flags, standard input; each becomes a Plan."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, TypeVar

import msgspec

from convcli.cli.options import LayerFlags
from convcli.errors import Problem, SpecError
from convcli.plan import Network, Plan, plan
from convcli.spec.build import flags_network, inputs_of

if TYPE_CHECKING:
    from convcli.spec.stream import Stream

T = TypeVar("T")
_NOT_FIELDS = {"specs", "input", "input_layout"}


def plans_of(flags: LayerFlags, *, strict: bool = False, held: bytes | None = None) -> list[Plan]:
    """The networks worked out. Raises SpecError with all that is wrong.

    strict: a layer whose cost nobody knows is wrong too. held: what standard input holds, if it has been read.
    """
    return results_of(flags, partial(plan, strict=strict), held=held)


def results_of(flags: LayerFlags, work: Callable[[Network], T], *, held: bytes | None = None) -> list[T]:
    """What `work` makes of each network, with the input of the flags. Raises SpecError with all that is wrong."""
    problems: list[Problem] = []
    results = []
    for network in _networks(flags, problems, held):
        try:
            results.append(work(network))
        except SpecError as error:
            problems.extend(error.problems)
    if problems:
        raise SpecError(problems=tuple(problems))
    return results


def layers_of(flags: LayerFlags, *, strict: bool = False) -> list[Plan | Stream]:
    """The same; files of many layers that stand alone as streams. Raises SpecError."""
    from convcli.spec.load import STDIN
    from convcli.spec.stream import stream_of, typed_in

    shape = None if flags.input is None else inputs_of(flags.input)
    given = shape if isinstance(shape, tuple) else None
    last = flags.input_layout is not None and _is_last(flags.input_layout)
    streams: list[Stream] = []
    files, held = [], None
    for name in flags.specs or []:
        if name == STDIN and held is None:
            found = typed_in(given, channels_last=last)
            held, stream = (found, None) if isinstance(found, bytes) else (b"", found)
        else:
            stream = stream_of(name, given, channels_last=last)
        if stream:
            streams.append(stream)
        else:
            files.append(name)
    rest = msgspec.structs.replace(flags, specs=files)
    alone = streams and not files and all(getattr(flags, n) is None for n in _fields(flags))
    return [*([] if alone else plans_of(rest, strict=strict, held=held)), *streams]


def _fields(flags: LayerFlags) -> list[str]:
    return [name for name in flags.__struct_fields__ if name not in _NOT_FIELDS]


def _networks(flags: LayerFlags, problems: list[Problem], held: bytes | None) -> list[Network]:
    fields = {name: getattr(flags, name) for name in _fields(flags)}
    given = {name: value for name, value in fields.items() if value is not None}
    if not given and not flags.specs:
        allowed = "a spec file, -, a layer like 'Conv2d(3, 64, 3)', or --type with its flags"
        raise SpecError("there is no layer to work on", allowed=allowed)
    found: list[Network] = []
    shape = None if flags.input is None else inputs_of(flags.input)
    if given:
        found.append(flags_network(given))
        if isinstance(shape, dict):
            raise SpecError("inputs by name are for ONNX files", field="--input", allowed="a shape")
        found[0].input = shape
    if flags.specs:
        from convcli.spec.load import networks  # the readers, which flags do without

        found = networks(flags.specs, problems, shape, held=held) + found
    for network in found:
        if flags.input_layout is not None:
            network.channels_last = _is_last(flags.input_layout)
    return found


def _is_last(layout: str) -> bool:
    if layout not in {"channels_first", "channels_last"}:
        raise SpecError(f"--input-layout {layout} is not known", allowed="channels_first, channels_last")
    return layout == "channels_last"
