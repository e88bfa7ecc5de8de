"""Which models are wanted: each target's place, the name of its file, and the key of what an answer depends on."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from convcli.errors import SpecError
from convcli.importer.asked import Asked, is_onnx

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

    def key(self, asked: Asked, salt: bytes) -> str:
        """The same for the same model asked for in the same way, by the same versions, everywhere."""
        said = msgspec.json.encode([self.target, self.name, asked.options, source_hash(self.target)], order="sorted")
        return hashlib.blake2b(said + salt, digest_size=16).hexdigest()


def named(targets: Sequence[str]) -> tuple[Wanted, ...]:
    """The targets with their files' names. Raises SpecError for one that is there twice.

    The first of a name has it, resnet50; a later one has as much of its place before it as tells it from the others,
    quantization.resnet50. What follows on the command line changes no name.
    """
    found, taken = list[Wanted](), set[str]()
    for index, target in enumerate(targets):
        if target in targets[:index]:
            raise SpecError(f"{target} is there twice", allowed="every model once")
        name = next(name for name in _names(target) if name.casefold() not in taken)
        taken.add(name.casefold())  # some file systems know no case
        found.append(Wanted(index, target, name))
    return tuple(found)


def _names(target: str) -> Iterator[str]:
    """resnet50, models.resnet50, torchvision.models.resnet50, resnet50_2, ..."""
    if is_onnx(target):
        path, places = Path(target), Path(target).parent.parts
        name = path.stem
    else:
        place, _, name = target.rpartition(":")
        places = Path(place.removesuffix(".py")).parts if place.endswith(".py") else tuple(place.split("."))
    parts = [part for part in places if part.strip("./\\")]
    for first in range(len(parts), -1, -1):
        yield ".".join([*parts[first:], name])
    number = 2
    while True:
        yield f"{name}_{number}"
        number += 1


def source_hash(target: str) -> str:
    """Of the file that the target names, or of the module's file in this directory; "" for what is installed."""
    place = target if is_onnx(target) else target.rpartition(":")[0]
    path = Path(place) if place.endswith(".py") or is_onnx(target) else Path(*place.split(".")).with_suffix(".py")
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "blake2b").hexdigest()
    except (OSError, ValueError):  # it lies where the workers are, perhaps
        return ""
