"""--strict: a network with a layer whose cost nobody knows is refused, by name and line."""

from __future__ import annotations

from pathlib import Path

import pytest
from cli_runs import run

SPEC = """input: [1, 3, 8, 8]
layers:
  - Conv2d(3, 4, 3)
  - {type: Unknown, name: boxes, operation: nms, shape: [1, 4]}
  - Linear(4, 2)
  - {type: Unknown, operation: sort, shape: [1, 4]}
"""


@pytest.fixture
def spec(tmp_path: Path) -> str:
    path = tmp_path / "net.yaml"
    path.write_text(SPEC)
    return str(path)


@pytest.mark.parametrize("command", ["shape", "params", "flops", "summary", "verify"])
def test_unknown_costs_are_refused_by_name_and_line(spec: str, command: str) -> None:
    found = run(command, spec, "--strict")
    assert found.code == 2
    assert found.out == ""
    for line, name in ((4, "boxes"), (6, "unknown_4")):
        assert f"net.yaml:{line}:" in found.err
        assert f"nobody knows what {name} (Unknown) costs" in found.err


@pytest.mark.parametrize("command", ["params", "flops", "summary"])
def test_without_it_the_totals_are_lower_bounds(spec: str, command: str) -> None:
    found = run(command, spec)
    assert found.code == 0
    assert "total, at least" in found.out
    assert "at least " in found.out.splitlines()[-2]


def test_a_known_network_is_strict() -> None:
    assert run("flops", "Conv2d(3, 4, 3)", "-i", "1,3,8,8", "--strict").code == 0
