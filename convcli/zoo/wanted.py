"""Which models are wanted: each target's place, the name of its file, and the key of all that its spec depends on."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from itertools import chain, count
from pathlib import Path

import msgspec

from convcli.backends.source import source_hash
from convcli.errors import SpecError
from convcli.importer.asked import is_onnx
from convcli.verifier.journal import Header

ENDING = ".yaml"


class Wanted(msgspec.Struct, frozen=True):
    """A model. name: that of its file, without the ending; no other has it."""

    index: int
    target: str
    name: str

    @property
    def file(self) -> str:
        """What its spec is called."""
        return self.name + ENDING


def keys_of(models: Sequence[Wanted], own: Header) -> list[str]:
    """The same for the same model asked for in the same way, by the same versions, everywhere."""
    sources = dict[str, str]()
    found = []
    for one in models:
        place = one.target if is_onnx(one.target) else one.target.rpartition(":")[0]
        if place not in sources:
            sources[place] = _source(place, own)
        said = ascii((one.target, one.name, sources[place])).encode()  # a file's name may be no UTF-8
        found.append(hashlib.blake2b(said + own.salt, digest_size=16).hexdigest())
    return found


def _source(place: str, own: Header) -> str:
    """A hash of what a model is written in; "" for what is installed, its version tells it."""
    if not is_onnx(place):
        return "" if place.partition(".")[0] in own.environment else source_hash(f"{place}:")
    try:
        with Path(place).open("rb") as file:
            return hashlib.file_digest(file, "blake2b").hexdigest()
    except (OSError, ValueError):  # it lies where the workers are, perhaps
        return ""


def named(targets: Sequence[str]) -> tuple[Wanted, ...]:
    """The targets with their files' names. Raises SpecError for one that is there twice.

    Of several models of one name the one with the shortest place has it, torchvision.models:resnet50; another has as
    much of its place before it as tells it from those: quantization.resnet50.
    """
    names, taken = dict[str, str](), set[str]()
    for target in sorted(targets, key=lambda target: len(places(target))):
        if target in names:
            raise SpecError(f"{target} is there twice", allowed="every model once")
        own = list(_names(target))
        every = chain(own, (f"{own[0]}_{number}" for number in count(2)))
        names[target] = next(name for name in every if name.casefold() not in taken)
        taken.update(name.casefold() for name in [*own, names[target]])  # some file systems know no case
    return tuple(Wanted(index, target, names[target]) for index, target in enumerate(targets))


def places(target: str) -> list[str]:
    """The packages or directories that it lies in."""
    if is_onnx(target):
        found = Path(target).parent.parts
    else:
        place = target.rpartition(":")[0]
        found = Path(place.removesuffix(".py")).parts if place.endswith(".py") else tuple(place.split("."))
    return [part for part in found if part.strip("./\\")]


def _names(target: str) -> Iterator[str]:
    """resnet50, models.resnet50, torchvision.models.resnet50."""
    name, parts = Path(target).stem if is_onnx(target) else target.rpartition(":")[2], places(target)
    return (".".join([*parts[first:], name]) for first in range(len(parts), -1, -1))
