"""What the usual tolerances would have said of an implementation, on ordinary floats."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from convcli.backends import numpy as ours
from convcli.verifier.case import Case, Fill
from convcli.verifier.fills import ordinary
from convcli.verifier.gradient_fills import ordinary_gradients
from convcli.verifier.mutants import Mutant, planned

if TYPE_CHECKING:
    from collections.abc import Mapping

    from convcli.backends import Array
    from convcli.plan import Step
    from convcli.verifier.rounding import Correct

DRAWS = 9
TOLERANCES: dict[str, dict[str, tuple[float, float]]] = {  # (rtol, atol) by dtype, as their libraries have them
    "np.allclose": {"float32": (1e-5, 1e-8), "float64": (1e-5, 1e-8)},
    "torch.testing.assert_close": {"float32": (1.3e-6, 1e-5), "float64": (1e-7, 1e-7)},
    "1e-3": {"float32": (1e-3, 1e-3), "float64": (1e-3, 1e-3)},
}
USUAL = ("Conv2d(256, 8, 3, padding=1)", (1, 256, 8, 8))  # sums of 2,304 products, as in the middle of any network


def missed_by(mutant: Mutant, step: Step, seed: int) -> tuple[str, ...]:
    """The usual tolerances that pass a wrong implementation in most draws of ordinary floats."""
    draws = [passed_by(mutant, step, number, dtype) for number in range(seed, seed + DRAWS) for dtype in mutant.dtypes]
    return tuple(name for name in TOLERANCES if 2 * sum(name in passed for passed in draws) > len(draws))


def passed_by(mutant: Mutant, step: Step, seed: int, dtype: str) -> tuple[str, ...]:
    """The usual tolerances that would pass a wrong implementation on normal floats."""
    case = Case(step.layer, step.x, step.batch, seed)
    arrays = loaded(ordinary(case), dtype)
    try:
        if mutant.gradient:
            arrays = loaded(ordinary_gradients(case), dtype)
            dy = arrays.pop("dy")
            right, wrong = (found.backward(step.layer, arrays, dy) for found in (ours, mutant))
        else:
            right = {"y": ours.forward(step.layer, arrays)}
            wrong = {"y": mutant.forward(step.layer, arrays)}
    except Exception:  # it fails on its own, and so under any tolerance
        return ()
    if any(wrong[name].shape != y.shape or wrong[name].dtype != y.dtype for name, y in right.items()):
        return ()
    return accepting(right, wrong, dtype)


def refused_by(right: Correct, seed: int) -> tuple[str, ...]:
    """The usual tolerances that call a right implementation wrong, in float32 on a layer of usual size."""
    step = planned(*USUAL)
    arrays = loaded(ordinary(Case(step.layer, step.x, step.batch, seed)), "float32")
    y, z = ours.forward(step.layer, arrays), right.forward(step.layer, arrays)
    taken = accepting({"y": y}, {"y": z}, "float32")
    return tuple(name for name in TOLERANCES if name not in taken)


def accepting(expected: Mapping[str, Array], found: Mapping[str, Array], dtype: str) -> tuple[str, ...]:
    """The usual tolerances within which all of the results lie."""
    return tuple(
        name
        for name, limits in TOLERANCES.items()
        if all(np.allclose(found[key], y, *limits[dtype]) for key, y in expected.items())
    )


def loaded(fill: Fill, dtype: str) -> dict[str, Array]:
    """A fill's numbers, as workers read them from their files."""
    one = np.ones((), dtype)
    return {name: array.astype(dtype) / (one * fill.scales.get(name, 1)) for name, array in fill.arrays.items()}
