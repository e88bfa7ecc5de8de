"""Settings of the whole suite: what runs by default, how often Hypothesis draws, and the reports' goldens.

`pytest tests/report --update-goldens` writes the goldens anew; look at the difference before you commit it.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

GOLDENS = Path(__file__).parent / "report" / "goldens"

LIBRARIES = {"torch": "torch and torchvision are", "dask": "distributed is"}

# The same examples on every run, so that a failure is the change's and not the day's; `--hypothesis-profile=random`
# draws others.
settings.register_profile(
    "stable", deadline=None, derandomize=True, database=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("random", settings.get_profile("stable"), derandomize=False, print_blob=True)
settings.load_profile("stable")

HAS_DASK = find_spec("distributed") is not None
HAS_TORCH = find_spec("torch") is not None and find_spec("torchvision") is not None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave the sweeps of minutes out unless `-m` asks; skip what needs torch or dask where there is none."""
    for name, there in (("torch", HAS_TORCH), ("dask", HAS_DASK)):
        for item in items if not there else ():
            if item.get_closest_marker(name):
                item.add_marker(pytest.mark.skip(reason=f"{LIBRARIES[name]} not installed"))
    if "long" not in config.option.markexpr:
        config.hook.pytest_deselected(items=[item for item in items if item.get_closest_marker("long")])
        items[:] = [item for item in items if not item.get_closest_marker("long")]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-goldens", action="store_true", help="write the reports' goldens anew")


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[str, str], None]:
    """A function that compares a text with the golden file of the given name."""
    update = request.config.getoption("update_goldens", default=False)

    def compare(name: str, text: str) -> None:
        path = GOLDENS / name
        if update:
            path.write_bytes(text.encode())
        assert text == path.read_bytes().decode()

    return compare
