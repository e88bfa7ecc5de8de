"""What our own side can say of another one's results, in a worker: which known mistake gives them, and how we vote."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec

from convcli.backends import numpy as ours
from convcli.backends.compose import composed
from convcli.errors import SpecError
from convcli.kernels import ROUNDS
from convcli.verifier.compare import difference
from convcli.verifier.exchange import Sample, Stored, load
from convcli.verifier.explain.contributions import lines, sum_of
from convcli.verifier.explain.experiment import FORWARD, same
from convcli.verifier.mutants import MUTANTS, Mutant

if TYPE_CHECKING:
    from convcli.backends import Array, Arrays
    from convcli.layers import Layer

Files = dict[str, Stored]


Question = tuple["Layer", Sample, str, "Files | None"]  # a layer, its data, their dtype; results, None for a refusal


def _read(question: Question) -> tuple[Layer, dict[str, Array], dict[str, Array] | None]:
    """(layer, the data, the results)"""
    layer, sample, dtype, files = question
    found = None if files is None else {name: load(file) for name, file in files.items()}
    return layer, sample.load(dtype), found


def results(layer: Layer, arrays: Arrays, method: str = "auto") -> dict[str, Array]:
    """Our own: y, or with dy among the arrays the gradients by name."""
    if "dy" not in arrays:
        return {FORWARD: ours.forward(layer, arrays, method)}
    own = {name: array for name, array in arrays.items() if name != "dy"}
    return ours.backward(layer, own, arrays["dy"])


def alike(question: Question, names: tuple[str, ...]) -> tuple[bool, tuple[str, ...]]:
    """(the results are not ours, the known mistakes among `names` that give exactly these results on these data)."""
    layer, arrays, found = _read(question)
    wrong = found is not None and sides(found, results(layer, arrays), None) != "convcli"
    return wrong, tuple(name for name in names if _gives(MUTANTS[name], layer, arrays, found))


def _gives(mutant: Mutant, layer: Layer, arrays: Arrays, found: dict[str, Array] | None) -> bool:
    try:
        made = wrong_results(mutant, layer, arrays)
    except Exception:  # whatever a wrong implementation runs into
        return found is None
    if found is None:
        return False
    return all(name in made and same(made[name], y) for name, y in found.items())


def wrong_results(mutant: Mutant, layer: Layer, arrays: Arrays) -> dict[str, Array]:
    """A mutant's y, or its gradients; of a composite that it does not know as a whole, part by part."""
    if "dy" in arrays:
        own = {name: array for name, array in arrays.items() if name != "dy"}
        return dict(mutant.backward(layer, own, arrays["dy"]))
    run = mutant.forward
    return {FORWARD: run(layer, arrays) if layer.kind in mutant.kinds else composed(layer, arrays, run)}


def candidates(layer: Layer, x: tuple[int, ...], *, backward: bool) -> tuple[str, ...]:
    """The mistakes that a layer of this kind, or a part of it, can have."""
    kinds = {layer.kind} | ({part.layer.kind for part in layer.parts(x)} if not backward else set())
    return tuple(name for name, mutant in MUTANTS.items() if mutant.gradient == backward and kinds & set(mutant.kinds))


def methods(question: Question) -> dict[str, str]:
    """With whom each method of our kernels agrees: "convcli", "other" or ""."""
    layer, arrays, found = _read(question)
    expected, said = results(layer, arrays), {}
    for method in ours.methods(layer, arrays) if "dy" not in arrays else ():
        if method == "auto" or method in ROUNDS:  # on these data every other form is exact
            continue
        try:
            said[method] = sides(results(layer, arrays, method), expected, found)
        except SpecError:  # too large for it
            continue
    return said


def sides(made: dict[str, Any], expected: dict[str, Any], found: dict[str, Any] | None) -> str:
    """With whom a third result agrees."""
    if all(same(made.get(name), y) for name, y in expected.items()):
        return "convcli"
    return "other" if found is not None and all(same(made.get(name), y) for name, y in found.items()) else ""


def terms(question: Question) -> tuple[str, ...]:
    """The sum behind the element that is furthest off, line by line; none where no single element is."""
    layer, arrays, found = _read(question)
    expected = results(layer, arrays)
    for name, y in expected.items():
        z = (found or {}).get(name)
        if z is None or (z.shape, z.dtype) != (y.shape, y.dtype) or (worst := difference(y, z).worst) is None:
            continue
        added = sum_of(layer, arrays, name, worst)
        return () if added is None else lines(msgspec.structs.replace(added, found=float(z[worst])))
    return ()


EVIDENCE: dict[str, Callable[..., Any]] = {"alike": alike, "methods": methods, "terms": terms}
