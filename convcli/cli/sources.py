"""Which networks a command line names: files, layers spelled out, one layer by flags, or standard input."""

from __future__ import annotations

from convcli.cli.options import LayerFlags
from convcli.errors import SpecError
from convcli.plan import Network
from convcli.spec.build import flags_network, shape_of
from convcli.spec.load import networks

_NOT_FIELDS = {"specs", "input", "input_layout"}


def networks_of(flags: LayerFlags) -> list[Network]:
    """The networks, the input of the command line put in place of theirs. Raises SpecError."""
    fields = {name: getattr(flags, name) for name in flags.__struct_fields__ if name not in _NOT_FIELDS}
    given = {name: value for name, value in fields.items() if value is not None}
    found = networks(flags.specs or [])
    if given:
        found.append(flags_network(given))
    if not found:
        raise SpecError(
            "there is no layer to work on",
            allowed="a spec file, -, a layer like 'Conv2d(3, 64, 3)', or --type with its flags",
        )
    for network in found:
        if flags.input is not None:
            network.input = shape_of(flags.input)
        if flags.input_layout is not None:
            network.channels_last = _is_last(flags.input_layout)
    return found


def _is_last(layout: str) -> bool:
    if layout not in {"channels_first", "channels_last"}:
        raise SpecError(f"--input-layout {layout} is not known", allowed="channels_first, channels_last")
    return layout == "channels_last"
