"""docs/findings.md: each script runs where its library is installed, and shows what it says."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = (Path(__file__).parent.parent / "docs" / "findings.md").read_text(encoding="utf-8")
SCRIPTS = re.findall(r"^## (.*?)\n.*?```python\n(.*?)```", PAGE, re.DOTALL | re.MULTILINE)


def test_every_finding_has_its_script() -> None:
    assert len(SCRIPTS) == PAGE.count("\n## ") >= 3


@pytest.mark.parametrize(("title", "script"), SCRIPTS, ids=[title for title, _ in SCRIPTS])
def test_a_finding_is_still_there(title: str, script: str) -> None:
    pytest.importorskip(re.split(r"[.:]", title)[0])
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (ran.stdout, ran.returncode) == ("True\n", 0), ran.stderr
