"""Everything that must hold before a change lands, in one command: `python tools/check.py [--long] [--only STEP]`.

Format, lint, types, who may import whom, the tests with branch coverage. Runs in the environment it is started with.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PYTHON = sys.executable
STEPS: dict[str, list[str]] = {
    "format": [PYTHON, "-m", "ruff", "format", "--check", "."],
    "lint": [PYTHON, "-m", "ruff", "check", "."],
    "types": [PYTHON, "-m", "mypy"],
    "imports": [
        PYTHON,
        "-c",
        "import sys; from importlinter.cli import lint_imports_command as main; sys.exit(main())",
    ],
    "tests": [PYTHON, "-m", "pytest", "-q", "-n", "2", "--cov", "--cov-report=term", "-m", "not long"],
}
LONG = [PYTHON, "-m", "pytest", "-q", "-n", "2", "-m", "long"]


def main() -> int:
    """Run the steps one after the other, all of them, and say which failed; 0 when none did."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--long", action="store_true", help="the sweeps of minutes too")
    parser.add_argument("--only", choices=[*STEPS, "long"], help="one step alone")
    arguments = parser.parse_args()
    steps = STEPS | ({"long": LONG} if arguments.long or arguments.only == "long" else {})
    if arguments.only:
        steps = {arguments.only: steps[arguments.only]}
    failed = []
    for name, command in steps.items():
        print(f"== {name}", flush=True)
        start = time.perf_counter()
        code = subprocess.run(command, cwd=ROOT, check=False).returncode
        print(
            f"== {name}: {'ok' if code == 0 else f'failed ({code})'}, {time.perf_counter() - start:.0f} s", flush=True
        )
        if code:
            failed.append(name)
    print("all checks hold" if not failed else f"failed: {', '.join(failed)}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
