"""Write the README's kill table: `python tools/make_kill_table.py [--check]`, from a run of the self-test."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from pathlib import Path

from convcli.report import markdown
from convcli.report.self_test import sheet
from convcli.verifier.self_test import SEEDS, SelfTest, self_test

README = Path(__file__).resolve().parent.parent / "README.md"
BEGIN, END = "<!-- kill table: tools/make_kill_table.py -->", "<!-- end of the kill table -->"


def block(record: SelfTest) -> str:
    """The counts by what caught them, then every wrong implementation in a fold."""
    caught = Counter(next(by for by in kill.caught.values() if by).split(" ")[0] for kill in record.kills)
    words = {
        "shape": "the output's shape",
        "refused": "its own refusal of a legal layer",
        "exact": "the exact stage, values or gradients",
        "full": "the exact stage in full mantissa",
        "layout": "views with other strides",
        "bound": "the bound stage",
    }
    tolerances = [f"| {name} | {record.missed(name)} | {record.refused(name)} |" for name in record.tolerances]
    lines = [
        f"| {len(record.kills)} wrong implementations, caught by | |",
        "|---|---:|",
        *(f"| {words[by]} | {count} |" for by, count in caught.most_common()),
        "",
        f"| tolerance | wrong ones passed, of {len(record.kills)} | right ones refused, of {len(record.right)} |",
        "|---|---:|---:|",
        *tolerances,
        "| `convcli verify` | 0 | 0 |",
        "",
        f"<details><summary>All {len(record.kills)}, each on the smallest layer that shows it</summary>",
        "",
        *markdown.table_lines(sheet(record).tables[0]),
        "",
        "</details>",
    ]
    return "\n".join([BEGIN, *lines, END])


def replaced(text: str, made: str) -> str:
    """The README with the table in its place."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    if not rest or not after:
        raise SystemExit(f"README.md has no place for the table: {BEGIN} ... {END}")
    return before + made + after


def main() -> int:
    """Write it, or with --check say whether it is as it should be."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail when the README differs")
    arguments = parser.parse_args()
    text = README.read_text(encoding="utf-8")
    made = replaced(text, block(self_test(seeds=SEEDS)))
    if arguments.check:
        return int(made != text)
    README.write_text(made, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
