"""What a user's function or backend is written in is part of a run: edited, it is another run, and told so."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from test_shards import plain

import convcli
from convcli.backends.source import source_hash
from convcli.errors import SpecError
from convcli.report.json import render
from convcli.verifier.fuzz.options import chosen
from convcli.verifier.own import target

CONV = '''"""A kernel of the user's."""
from convcli.kernels import conv as ours


def conv(x, weight, bias=None, **keywords):
    return ours(x, weight, bias, **keywords)
'''
EDITED = f"{CONV}# faster now\n"
FAKE = "from verify_fakes import faithful\n"
SPEC = {"layers": [{"type": "Conv2d", "out_channels": n, "kernel_size": 3, "input": [1, 2, 6, 6]} for n in (1, 2)]}
ONE: dict[str, Any] = {"dtypes": ("float32",), "explain": False}


def test_the_source_is_found_without_importing_anything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deep = tmp_path / "ours_of_test" / "deep"
    deep.mkdir(parents=True)
    files = [tmp_path / "ours_of_test" / "__init__.py", deep / "__init__.py", deep / "conv.py", tmp_path / "alone.py"]
    for file in files:
        file.write_text(f"raise SystemExit({str(file)!r})\n")
    places = ["ours_of_test:conv", "ours_of_test.deep:conv", "ours_of_test.deep.conv:conv", "alone:conv"]

    def hashes(folder: str = str(tmp_path)) -> list[str]:
        return [source_hash(place, folder) for place in places]

    before = hashes()
    assert len(set(before)) == 4
    assert all(before)
    assert source_hash("alone.py:conv", str(tmp_path)) == source_hash(str(files[3])) == before[3]
    monkeypatch.syspath_prepend(tmp_path)
    assert hashes("") == before
    for file, changed in zip(files, ([0], [0, 1], [0, 1, 2], [3]), strict=True):  # a package is all its files
        now = hashes()
        file.write_text("raise SystemExit(another)\n")
        assert [n for n, (one, other) in enumerate(zip(now, hashes(), strict=True)) if one != other] == changed
    assert not {"ours_of_test", "alone"} & set(sys.modules)
    for nothing in (
        "none:conv",
        "none.py:conv",
        ":conv",
        "",
        ".a:b",
        "ours_of_test.none:x",
        "alone.x:y",
        "sys:x",
        "<lambda>",
    ):
        assert source_hash(nothing, str(tmp_path)) == ""


def refused(run: Callable[[], object], words: str) -> None:
    with pytest.raises(SpecError, match=words):
        run()


@pytest.mark.parametrize("kind", ["kernel", "kernel_grad", "against"])
def test_an_edited_source_is_another_run(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec, name = tmp_path / "spec.json", f"edited_{kind}"
    spec.write_text(json.dumps(SPEC))
    file, journals = tmp_path / f"{name}.py", [tmp_path / f"{n}.jsonl" for n in (1, 2)]
    monkeypatch.syspath_prepend(tmp_path)
    source = {"kernel": CONV, "kernel_grad": CONV.replace("conv as", "conv_backward as"), "against": FAKE}[kind]
    role = "backward" if kind == "kernel_grad" else "forward"
    place = f"{name}:faithful" if kind == "against" else f"{file}:conv"
    own: dict[str, Any] = {kind: place if kind == "against" else target(place, role=role)}

    def run(number: int, **more: Any) -> Any:
        return convcli.verify(convcli.load(spec), **own, **ONE, shard=f"{number}/2", **more)

    reports = [tmp_path / f"{n}.json" for n in (1, 2)]
    file.write_text(source)
    reports[0].write_text(render(run(1, journal=journals[0])))
    words = f"is another one: {place} was edited: its source is another one here$"
    file.write_text(source + "# edited\n")
    refused(lambda: run(1, resume=journals[0]), words)
    reports[1].write_text(render(run(2, journal=journals[1])))
    refused(lambda: convcli.merge(journals), words)
    refused(lambda: convcli.merge(reports), words)
    file.write_text(source)
    assert run(1, resume=journals[0]).layers
    run(2, journal=journals[1])
    assert convcli.merge(journals).summary.skipped == 0  # type: ignore[union-attr]


def test_fuzz_knows_its_kernel_too(tmp_path: Path) -> None:
    file, journal = tmp_path / "conv.py", tmp_path / "run.jsonl"
    file.write_text(CONV)
    own: dict[str, Any] = {"kernel": target(f"{file}:conv"), "cases": 3, "dtypes": ("float32",)}
    whole = convcli.fuzz(["conv"], **own, journal=journal)
    assert "kernel_source" not in whole.options
    assert plain(convcli.merge([journal])) == plain(whole)
    nothing = dict.fromkeys(("kinds", "cases", "duration", "seed", "against", "kernel", "arrays", "grad", "dtypes"))
    taken = chosen(nothing, str(journal))
    assert taken["kernel"] == own["kernel"]
    assert plain(convcli.fuzz(**taken, resume=journal)) == plain(whole)
    file.write_text(EDITED)
    refused(lambda: convcli.fuzz(**taken, resume=journal), r"conv\.py:conv was edited: its source is another one here")
