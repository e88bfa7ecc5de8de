"""Many models: whoever imports them, each has the spec that it has alone; cut anywhere and continued, too."""

from __future__ import annotations

import json
import re
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from zoo_here import INPUT, graph_of, here, told

import convcli
from convcli.cli.guard import INTERRUPTED
from convcli.errors import SpecError, Unchecked
from convcli.importer.asked import Asked
from convcli.importer.document import text
from convcli.verifier.verdict import Status
from convcli.zoo.record import Imports
from convcli.zoo.run import import_models
from convcli.zoo.wanted import named, places

TARGETS = ["lib.models:net", "lib.models:broken", "lib.other:net", "a/file.py:odd", "b/file.py:odd", "lib:noted",
           "lib:raises", "lib:Outer.net"]  # fmt: skip
FILES = ["net", None, "other.net", "odd", "b.file.odd", "noted", None, "Outer.net"]


def specs(home: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in sorted(home.glob("*.yaml"))}


def lines(home: Path, name: str = "import.jsonl") -> list[str]:
    """The journal, times aside."""
    return re.sub(r'"seconds":[\d.e-]+', '"seconds":0', (home / name).read_text()).splitlines()


@pytest.mark.parametrize("jobs", [1, 3])
def test_every_model_has_the_spec_that_it_has_alone(jobs: int, tmp_path: Path) -> None:
    with here():
        record = import_models(TARGETS, INPUT, directory=tmp_path / "a" / "b", jobs=jobs)
    made = [f"{name}.yaml" if name else "" for name in FILES]
    assert [Path(model.file).name for model in record.models] == made
    assert [model.target for model in record.models] == TARGETS
    assert specs(tmp_path / "a" / "b") == {
        file: text(graph_of(target, Asked())) for file, target in zip(made, TARGETS, strict=True) if file
    }
    assert [model.status for model in record.models if model.status != "imported"] == [Status.FAILED] * 2
    assert record.models[1].reason == "building lib.models:broken raised ValueError: not built"
    assert record.models[6].reason == "RuntimeError: what nobody expects"
    assert (record.models[0].layers, record.models[0].params, record.models[0].macs) == (1, 84, 27 * 3 * 36)
    assert not record.models[3].complete
    assert record.models[3].notes == ("nobody has stated the cost of fold: the totals are lower bounds",)
    assert record.models[5].notes == ("it is said",)
    assert (record.summary.imported, record.summary.failed, record.exit_code) == (6, 2, 3)


def test_all_well_is_exit_code_0_and_the_specs_are_read(tmp_path: Path) -> None:
    with here():
        record = import_models(["m:net", "m:conv"], INPUT, directory=tmp_path)
    assert record.exit_code == 0
    assert [layer.output for model in record.models for layer in
            convcli.summarize(convcli.load(model.file)).reports[0].layers] == [(1, 3, 6, 6), (1, 4, 6, 6)]  # fmt: skip


@given(st.floats(0, 1), st.sets(st.sampled_from([f"{name}.yaml" for name in FILES if name])))
def test_cut_anywhere_and_continued_it_is_as_if_nothing_had_happened(
    tmp_path_factory: pytest.TempPathFactory, where: float, gone: set[str]
) -> None:
    home = tmp_path_factory.mktemp("zoo")
    with here() as imported:
        whole = import_models(TARGETS, INPUT, directory=home, jobs=2)
        files, journal, path = specs(home), lines(home), home / "import.jsonl"
        left = path.read_bytes()
        first = left.index(b"\n") + 1
        cut = first + round(where * (len(left) - first))
        path.write_bytes(left[:cut])
        for name in gone:
            (home / name).unlink()
        done = [json.loads(line) for line in left[:cut].splitlines(keepends=True)[1:] if line.endswith(b"}\n")]
        kept = {line["model"]["target"] for line in done if "model" in line and line["model"]["file"] not in gone}
        imported.clear()
        again = import_models(TARGETS, INPUT, resume=path, jobs=2)
    assert sorted(imported) == sorted(set(TARGETS) - kept)
    assert specs(home) == files
    assert lines(home) == journal
    assert told(again) == told(whole)
    assert [model.file for model in again.models] == [model.file for model in whole.models]


@pytest.mark.parametrize("count", [2, 3, 9])
def test_shards_together_are_the_whole(count: int, tmp_path: Path) -> None:
    with here():
        whole = import_models(TARGETS, INPUT, directory=tmp_path / "whole")
        parts = [
            import_models(TARGETS, INPUT, directory=tmp_path / "parts", shard=f"{n}/{count}")
            for n in range(1, count + 1)
        ]
        shards = sorted((tmp_path / "parts").glob("import-*.jsonl"), reverse=True)
        merged = convcli.merge(shards, journal=tmp_path / "parts" / "import.jsonl")
        own = tmp_path / "parts" / f"import-2-of-{count}.jsonl"
        assert told(import_models(TARGETS, INPUT, resume=own, shard=f"2/{count}")) == told(parts[1])
    assert specs(tmp_path / "parts") == specs(tmp_path / "whole")
    rows = sorted((row for part in parts for row in told(part)), key=lambda row: TARGETS.index(row[0]))
    assert rows == told(whole)
    assert isinstance(merged, Imports)
    assert (told(merged), merged.exit_code, merged.options) == (told(whole), whole.exit_code, whole.options)
    assert lines(tmp_path / "parts") == lines(tmp_path / "whole")
    assert [model.file for part in parts for model in part.models if model not in merged.models] == []
    assert len(shards) == count
    assert [part.share.positions for part in parts if part.share] == [
        tuple(range(n, len(TARGETS), count)) for n in range(count)
    ]
    assert [part.exit_code for part in parts if not part.models] == [3] * max(0, count - len(TARGETS))


def test_names_that_are_no_utf_8_are_names(tmp_path: Path) -> None:
    with here():
        import_models(["\udcff.onnx", "b.onnx"], INPUT, directory=tmp_path)
        again = import_models(["\udcff.onnx", "b.onnx"], INPUT, resume=tmp_path / "import.jsonl")
    assert [model.status for model in again.models] == ["imported", "imported"]
    assert (tmp_path / "\udcff.yaml").is_file()


def test_a_model_that_loses_its_worker_whenever_it_is_tried_is_told(tmp_path: Path) -> None:
    targets = ["m:one", "m:deadly", "m:three", "m:four"]
    with here():
        record = import_models(targets, INPUT, directory=tmp_path, executor="zoo_here:losing")
    assert [model.status for model in record.models] == ["imported", Status.CRASHED, "imported", "imported"]
    assert record.models[1].reason == "the worker that tried it died, twice: ConnectionError gone"


def test_interrupted_it_tells_what_is_done_and_goes_on(tmp_path: Path) -> None:
    def stop(done: int, total: int, name: str) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with here():
        record = import_models(TARGETS, INPUT, directory=tmp_path, jobs=1, progress=stop)
        assert (len(record.models), record.interrupted, record.exit_code) == (3, True, INTERRUPTED)
        again = import_models(TARGETS, INPUT, resume=tmp_path / "import.jsonl")
    assert len(again.models) == len(TARGETS)


def test_a_run_that_is_another_one_is_refused_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path, own, home = tmp_path / "zoo" / "import.jsonl", ["pack.own:net", "lib:conv"], tmp_path / "pack"
    home.mkdir()
    for file in ("__init__.py", "own.py"):
        (home / file).write_text("raise ImportError")
    with here() as imported:
        import_models(own, INPUT, directory="zoo")
        imported.clear()

        def again(targets: list[str], said: str, version: str = "1.0", **more: object) -> None:
            with here(version), pytest.raises(SpecError, match=said):
                import_models(targets, INPUT, **{"resume": path, **more})  # type: ignore[arg-type]

        again([*own, "lib:more"], "models is 2 there and 3 here")
        again(["lib:conv", "pack.own:net"], "its model pack.own:net is lib:conv here")
        again(own, "arguments is {} there and {'n': '1'} here", arguments={"n": 1})
        again(own, r"torch is 1\.0 there and 2\.0 here", version="2.0")
        again(own, "import.jsonl is not this run's journal.*import-1-of-2.jsonl", shard="1/2")
        again(own, "does not lie in elsewhere", directory="elsewhere")
        (home / "own.py").write_text("net = 2")
        again(own, "its model pack.own:net has changed since")
        path.write_text(path.read_text().replace('{"complete":2}', '{"index":2}'))
        (home / "own.py").write_text("raise ImportError")
        path.write_text(path.read_text() + "{}\n")
        again(own, "is not a result of convcli import")
    assert imported == []


@pytest.mark.parametrize(
    ("targets", "more", "said"),
    [
        ([], {}, "there is no model"),
        (["a:b", "nothing"], {}, "'nothing' names no model"),
        (["a:b", "c:d/e"], {}, "'c:d/e' names no model"),
        (["a:b", "c:"], {}, "'c:' names no model"),
        (["a:b", "c d:e"], {}, "'c d:e' names no model"),
        (["a:b", "c:d"], {"directory": ""}, "several models need a directory"),
        (["a:b", "c:d", "a:b"], {}, "a:b is there twice"),
        (["a:b", "c:d"], {"inputs": ()}, "the model needs an input"),
        (["a:b", "c.onnx"], {"inputs": ("1,x",)}, r"input=\[1, 'x'\] is not allowed"),
        (["a:b"], {"inputs": ("x=1,3",)}, "inputs by name are for ONNX files"),
        (["a.onnx", "b.onnx"], {"inputs": ("1,3", "1,4")}, "several inputs need their names"),
        (["a.onnx", "b.onnx"], {"run": True, "arguments": {"n": 1}}, "--arg, --run: an ONNX file is read, not run"),
        (["a:b"], {"timeout": 0}, "timeout=0 is too short"),
        (["a:b"], {"jobs": 0}, "jobs"),
        (["a:b"], {"shard": "3/2"}, "'3/2' is no shard"),
        (["a:b"], {"executor": "ray"}, "--executor: ray is not known"),
        (["a:b"], {"directory": None}, "several models need a directory"),
        (["a:b"], {"directory": __file__}, "cannot write to .*test_import_models.py"),
        (["a:b"], {"resume": "no/where/import.jsonl", "directory": None}, "cannot read no/where/import.jsonl"),
    ],
)
def test_what_makes_no_sense_is_refused_before_any_work(
    targets: list[str], more: dict[str, object], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    inputs = more.pop("inputs", (INPUT,))
    with here() as imported, pytest.raises(SpecError, match=said):
        import_models(targets, *inputs, **{"directory": tmp_path / "zoo", **more})  # type: ignore[misc, arg-type]
    assert imported == []


PLACES = ["a.b:net", "a.c:net", "a.c:Net", "net.py:net", "x/net.py:net", "c:net_2", "b:net", "b.b:net"]
ONNX = ["net.onnx", "x/net.onnx", "./net.onnx", "/x/net.ONNX"]


@given(st.lists(st.sampled_from(PLACES + ONNX), unique=True))
def test_names_are_unique_and_no_model_of_a_longer_place_changes_another(targets: list[str]) -> None:
    found = named(targets)
    assert len({one.name.lower() for one in found}) == len(targets)
    assert all("/" not in one.name and one.name.strip(".") == one.name for one in found)
    assert [(one.index, one.target) for one in found] == list(enumerate(targets))
    names = [one.name for one in sorted(found, key=lambda one: len(places(one.target)))]
    targets.sort(key=lambda target: len(places(target)))
    for count in range(len(targets) + 1):
        assert [one.name for one in named(targets[:count])] == names[:count]


def test_the_name_of_a_model_in_a_longer_place_tells_it_from_the_other() -> None:
    one, other = "torchvision.models.quantization:resnet18", "torchvision.models:resnet18"
    assert [wanted.file for wanted in named([one, other])] == ["quantization.resnet18.yaml", "resnet18.yaml"]


def test_without_torch_nothing_is_begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from convcli.zoo import station

    def nothing(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(station, "version", nothing)
    monkeypatch.setattr(station, "find_spec", lambda _: None)
    with pytest.raises(Unchecked, match=r'torch is not installed; pip install "convcli\[torch\]"'):
        import_models(["a:b", "c:d"], INPUT, directory=tmp_path)
