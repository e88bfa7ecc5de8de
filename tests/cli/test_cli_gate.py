"""`check` and `diff` as one runs them: in a repository with two commits, their exit codes, every format."""

from __future__ import annotations

import csv
import io
import json
import subprocess
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from cli_runs import SAMPLES, Ran, run

from convcli.report import FORMATS

SMALL = """\
name: net
input: [1, 3, 16, 16]
layers:
  - {name: stem, type: Conv2d, out_channels: 8, kernel_size: 3, padding: 1}
  - {name: act, type: ReLU}
  - name: block
    repeat: 2
    layers:
      - {name: conv, type: Conv2d, out_channels: 8, kernel_size: 3, padding: 1}
"""
LARGE = SMALL.replace("name: conv, type: Conv2d, out_channels: 8, kernel_size: 3, padding: 1", (
    "name: conv, type: Conv2d, out_channels: 8, kernel_size: 5, padding: 2"
)).replace("name: act", "name: relu")  # fmt: skip


@pytest.fixture
def repo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository of two commits: nets/net.yaml as SMALL with its baseline, then as LARGE."""
    monkeypatch.chdir(tmp_path)
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"):
        monkeypatch.delenv(name, raising=False)
    Path("nets").mkdir()
    git("init", "--quiet", "--initial-branch", "main")
    commit(SMALL, "a small network")
    assert run("check", "nets/net.yaml", "--baseline", "nets/baseline.json", "--update-baseline").code == 0
    commit(LARGE, "a large one")
    return tmp_path


def git(*words: str) -> None:
    """A git that knows who commits, whatever the machine says."""
    who = ("-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false")
    subprocess.run(["git", *who, *words], check=True, capture_output=True)


def commit(text: str, message: str) -> None:
    Path("nets/net.yaml").write_text(text)
    git("add", "nets/net.yaml")
    git("commit", "--quiet", "-m", message)


def gate(*more: str) -> Ran:
    return run("check", "nets/net.yaml", "--baseline", "nets/baseline.json", *more)


# check


def test_a_change_that_grows_is_refused_and_what_grew_is_named(repo: Path) -> None:
    ran = gate()
    assert ran.code == 1
    assert ran.err == ""
    assert "FAILED  total params (baseline)  nets/net.yaml:9\n" in ran.out
    assert "block.0.conv +1,024" in ran.out
    assert "3 layers changed" not in ran.out


def test_it_is_agreed_to_by_updating_the_baseline(repo: Path) -> None:
    before = Path("nets/baseline.json").read_bytes()
    ran = gate("--update-baseline")
    assert ran.code == 0
    assert ran.err == "convcli: nets/baseline.json: 1 spec written\n"
    assert Path("nets/baseline.json").read_bytes() != before
    assert gate().code == 0
    assert sorted(path.name for path in Path("nets").iterdir()) == ["baseline.json", "net.yaml"]


def test_or_by_a_tolerance(repo: Path) -> None:
    assert gate("--tolerance", "200%").code == 0
    assert gate("--tolerance", "2%").code == 1
    ran = gate("--tolerance", "2")
    assert ran.code == 2
    assert "not a percentage" in ran.err


def test_a_smaller_network_passes(repo: Path) -> None:
    Path("nets/net.yaml").write_text(SMALL.replace("repeat: 2", "repeat: 1"))
    ran = gate()
    assert ran.code == 0
    assert "removed" in ran.out


@pytest.mark.parametrize("form", FORMATS)
def test_every_format_of_check(repo: Path, form: str) -> None:
    ran = gate("--format", form)
    assert ran.code == 1
    if form == "json":
        found = json.loads(ran.out)
        assert found["summary"]["failed"] == 4
        assert found["networks"][0]["change"]["totals"]["params"]["difference"] == 2048
    elif form == "csv":
        rows = list(csv.DictReader(io.StringIO(ran.out)))
        assert [row["key"] for row in rows if row["status"] == "failed"] == ["params", "macs", "flops", "weight_bytes"]
    elif form == "junit":
        suite = ET.fromstring(ran.out)  # noqa: S314 - our own
        assert (suite.get("tests"), suite.get("failures")) == ("5", "4")
    elif form == "github":
        errors = [line for line in ran.out.splitlines() if line.startswith("::error ")]
        assert len(errors) == 4
        assert all(line.startswith("::error file=nets/net.yaml,line=") for line in errors)
    else:
        assert "+2,048" in ran.out or "+2048" in ran.out
        assert "failed" in ran.out


def test_the_annotation_of_a_budget_stands_at_its_key(repo: Path) -> None:
    Path("nets/net.yaml").write_text("# a comment\nbudget:\n  macs: 1G\n  params: 5\n" + SMALL)
    ran = run("check", "nets/net.yaml", "--format", "github")
    assert "::error file=nets/net.yaml,line=4,title=total params" in ran.out


def test_and_that_of_an_expectation_at_its_layer(repo: Path) -> None:
    text = SMALL.replace("name: act, type: ReLU", "name: act, type: ReLU, expect: {params: 3}")
    Path("nets/net.yaml").write_text(text.replace("padding: 1}\n", "padding: 1, expect: {params: 1}}\n"))
    ran = run("check", "nets/net.yaml", "--format", "github")
    lines = [line.partition(",title")[0].rpartition("line=")[2] for line in ran.out.splitlines() if "::error" in line]
    assert lines == ["4", "5", "9", "9"]


def test_the_baseline_among_the_specs_is_no_spec(repo: Path) -> None:
    ran = run("check", "nets/baseline.json", "nets/net.yaml", "--baseline", "nets/../nets/baseline.json")
    assert (ran.code, ran.err) == (1, "")


def test_a_file_that_is_no_baseline_is_not_written_over(repo: Path) -> None:
    ran = run("check", "nets/net.yaml", "--baseline", ".git/HEAD", "--update-baseline")
    assert ran.code == 2
    assert "a file that --update-baseline wrote" in ran.err
    assert Path(".git/HEAD").read_text().startswith("ref:")


def test_the_baseline_is_found_from_anywhere(repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir("nets")
    assert run("check", "net.yaml", "--baseline", "baseline.json").code == 1
    assert run("check", str(repo / "nets" / "net.yaml"), "--baseline", "../nets/baseline.json").code == 1


@pytest.mark.parametrize(
    ("argv", "code", "said"),
    [
        (("sample_configs/budget.yaml",), 0, "all hold"),
        (("sample_configs/resnet-stem.yaml",), 1, "params"),
        (("sample_configs/single-layers.yaml",), 0, "all hold"),
        (("tests/broken/groups-do-not-divide.yaml",), 2, "groups"),
        (("sample_configs/budget.yaml", "--baseline", "none.json"), 2, "there is no baseline yet"),
        (("sample_configs/budget.yaml", "--update-baseline"), 2, "--baseline"),
        (("Conv2d(3, 4, 3)", "-i", "1,3,8,8"), 3, "nothing was checked"),
    ],
)
def test_exit_codes_of_check(argv: tuple[str, ...], code: int, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(SAMPLES.parent)
    ran = run("check", *argv)
    assert ran.code == code
    assert said in ran.out + ran.err


def test_every_sample_holds() -> None:
    samples = [
        path for path in SAMPLES.rglob("*.yaml") if path.name not in {"resnet-stem.yaml", "pytorch-strings.yaml"}
    ]
    ran = run("check", *map(str, sorted(samples)), "--quiet")
    assert ran.code == 0, ran.out


def test_a_spec_that_is_new_could_not_be_checked(repo: Path) -> None:
    Path("nets/new.yaml").write_text(SMALL)
    Path("nets/net.yaml").write_text(SMALL)
    ran = run("check", "nets/net.yaml", "nets/new.yaml", "--baseline", "nets/baseline.json")
    assert ran.code == 3
    assert "new.yaml is not in the baseline; --update-baseline adds it" in ran.out
    assert run("check", "nets/new.yaml", "--baseline", "nets/baseline.json", "--update-baseline").code == 0
    assert run("check", "nets/net.yaml", "nets/new.yaml", "--baseline", "nets/baseline.json").code == 0


def test_a_baseline_that_cannot_be_written_leaves_the_old_one(repo: Path) -> None:
    before = Path("nets/baseline.json").read_bytes()
    ran = gate("--update-baseline", "--dtype", "float8")
    assert ran.code == 2
    assert Path("nets/baseline.json").read_bytes() == before
    assert run("check", "nets/net.yaml", "--baseline", "none/baseline.json", "--update-baseline").code == 2


def test_strict_refuses_a_cost_that_nobody_knows(repo: Path) -> None:
    Path("odd.yaml").write_text(SMALL + "  - {type: Unknown, operation: nms, shape: [1, 4], name: odd}\n")
    for argv in (
        ("check", "odd.yaml", "--baseline", "odd.json", "--update-baseline"),
        ("diff", "odd.yaml", "odd.yaml"),
    ):
        assert run(*argv).code == 0
        ran = run(*argv, "--strict")
        assert ran.code == 2
        assert "odd.yaml:10" in ran.err
        assert "nobody knows what odd" in ran.err


# diff


@pytest.mark.parametrize("form", FORMATS)
def test_every_format_of_diff(repo: Path, form: str) -> None:
    ran = run("diff", "nets/net.yaml@HEAD~1", "nets/net.yaml", "--format", form)
    assert ran.code == 0
    for word in ("block.0.conv", "block.1.conv", "changed", "584", "1,608" if form == "github" else "1"):
        assert word in ran.out
    if form == "json":
        (network,) = json.loads(ran.out)["networks"]
        assert network["before"]["source"] == "nets/net.yaml@HEAD~1"
        assert network["totals"]["params"] == {"before": 1392, "after": 3440, "difference": 2048, "percent": 147.13}
        said = [(one["status"], one["renamed"], one["after"]["name"]) for one in network["layers"]]
        assert said == [("same", True, "relu"), ("changed", False, "block.0.conv"), ("changed", False, "block.1.conv")]


def test_revisions_by_any_name(repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    git("tag", "v1", "HEAD~1")
    for revision in ("HEAD~1", "v1", "main~1", "HEAD@{1}", "HEAD^"):
        ran = run("diff", f"nets/net.yaml@{revision}", "nets/net.yaml@main", "--format", "json")
        assert json.loads(ran.out)["networks"][0]["totals"]["params"]["difference"] == 2048
    monkeypatch.chdir("nets")
    assert "+2048" in run("diff", "net.yaml@v1", "net.yaml").out


def test_a_file_that_is_gone_is_still_at_its_revision(repo: Path) -> None:
    git("rm", "--quiet", "-r", "--cached", "nets")
    Path("nets/net.yaml").rename("moved.yaml")
    Path("nets/baseline.json").unlink()
    Path("nets").rmdir()
    ran = run("diff", "nets/net.yaml@HEAD", "moved.yaml", "--exit-code")
    assert ran.code == 0, ran.err
    assert "no differences" in ran.out


def test_exit_code_is_one_for_a_difference_when_asked(repo: Path) -> None:
    assert run("diff", "nets/net.yaml@HEAD~1", "nets/net.yaml").code == 0
    assert run("diff", "nets/net.yaml@HEAD~1", "nets/net.yaml", "--exit-code").code == 1
    assert run("diff", "nets/net.yaml@HEAD", "nets/net.yaml", "--exit-code").code == 0


@pytest.mark.parametrize(
    ("before", "said"),
    [
        ("nets/net.yaml@nowhere", "no revision nowhere"),
        ("nets/net.yaml@HEAD~9", "no revision HEAD~9"),
        ("nets/other.yaml@HEAD", "no file nets/other.yaml"),
        ("nets/net.yaml@--output=x", "does not begin with a dash"),
        ("nets/net.yaml@main:nets", "no "),
    ],
)
def test_what_git_does_not_have_is_said_in_words(repo: Path, before: str, said: str) -> None:
    ran = run("diff", before, "nets/net.yaml")
    assert ran.code == 3
    assert said in ran.err
    assert ran.err.count("\n") == 1


def test_without_git_or_a_repository_it_is_said_so(repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ran = run("diff", "nets/net.yaml@HEAD", "nets/net.yaml", env={"PATH": str(tmp_path)})
    assert (ran.code, ran.err) == (3, "convcli: git is not installed, and PATH@REVISION needs it\n")
    ran = run("diff", "nets/net.yaml@HEAD", "nets/net.yaml", env={"GIT_CEILING_DIRECTORIES": "/", "GIT_DIR": "none"})
    assert ran.code == 3


def test_a_spec_that_was_wrong_is_wrong_at_its_revision(repo: Path) -> None:
    commit(SMALL.replace("padding: 1}", "padding: -1}", 1), "a mistake")
    ran = run("diff", "nets/net.yaml@HEAD", "nets/net.yaml@HEAD~1")
    assert ran.code == 2
    assert "nets/net.yaml@HEAD:4:" in ran.err


def test_what_is_wrong_with_either_side_is_said(repo: Path) -> None:
    for name in ("a.yaml", "b.yaml"):
        Path(name).write_text(SMALL.replace("kernel_size: 3, padding: 1}\n", "kernel_size: 99}\n", 1))
    ran = run("diff", "a.yaml", "b.yaml")
    assert ran.code == 2
    assert "a.yaml:4:" in ran.err
    assert "b.yaml:4:" in ran.err


def test_a_saved_report_against_a_file(repo: Path) -> None:
    assert run("summary", "nets/net.yaml@HEAD~1").code == 2  # only diff reads revisions
    assert run("summary", "nets/net.yaml", "-q", "-o", "now.json").code == 0
    ran = run("diff", "now.json", "nets/net.yaml", "--exit-code")
    assert (ran.code, ran.err) == (0, "")


def test_standard_input_is_a_side(repo: Path) -> None:
    ran = run("diff", "-", "nets/net.yaml", stdin=SMALL.encode())
    assert ran.code == 0
    assert "+2048" in ran.out


def test_all_shows_what_is_the_same_too(repo: Path) -> None:
    ran = run("diff", "nets/net.yaml@HEAD~1", "nets/net.yaml", "--all")
    assert "stem" in ran.out
    assert "stem" not in run("diff", "nets/net.yaml@HEAD~1", "nets/net.yaml").out


@pytest.mark.parametrize("argv", [(), ("a.yaml",), ("a.yaml", "b.yaml"), ("Conv2d(3, 4, 3)", "Conv2d(3, 4, 3)")])
def test_what_is_wrong_with_the_sides_is_two(argv: tuple[str, ...]) -> None:
    assert run("diff", *argv).code == 2
