"""The examples for CI are run, as far as a machine without those services can: the action's own script, the hook's
entry, GitLab's commands, each in a repository made here.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent
DOC = (ROOT / "docs" / "ci.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"```(\w+)\n(.*?)```", re.DOTALL)
NET = """\
name: net
input: [1, 3, 16, 16]
layers:
  - {name: stem, type: Conv2d, out_channels: 8, kernel_size: 3}
"""
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="shell scripts")


def read(path: str) -> Any:
    """A YAML file of the repository."""
    return yaml.safe_load((ROOT / path).read_text(encoding="utf-8"))


def example(name: str) -> Any:
    """The YAML example of docs/ci.md that begins with `# name`."""
    (text,) = (
        block for language, block in BLOCK.findall(DOC) if language == "yaml" and block.startswith(f"# {name}\n")
    )
    return yaml.safe_load(text)


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    """A repository's folder with a network, its baseline, and a `convcli` on the PATH."""
    (tmp_path / "nets").mkdir()
    (tmp_path / "nets" / "net.yaml").write_text(NET)
    shim = tmp_path / "bin" / "convcli"
    shim.parent.mkdir()
    shim.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m convcli "$@"\n')
    shim.chmod(0o755)
    assert shell(tmp_path, "convcli check nets/*.yaml --baseline nets/baseline.json --update-baseline").returncode == 0
    return tmp_path


def shell(repo: Path, script: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run a script in the repository, as GitHub runs one."""
    found = {"PYTHONPATH": str(ROOT), "PATH": f"{repo / 'bin'}{os.pathsep}{os.environ['PATH']}", **env}
    return subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script],
        cwd=repo,
        env={**os.environ, **found},
        capture_output=True,
        text=True,
        check=False,
    )


def grow(repo: Path) -> None:
    net = repo / "nets" / "net.yaml"
    net.write_text(NET.replace("out_channels: 8", "out_channels: 9"))


# The action


def run_action(repo: Path, **given: str) -> tuple[subprocess.CompletedProcess[str], str, dict[str, str]]:
    """The check step with its inputs: how it ended, the job's summary, its outputs."""
    action = read("action.yml")
    (step,) = (one for one in action["runs"]["steps"] if one.get("id") == "check")
    inputs = {name: str(one.get("default", "")) for name, one in action["inputs"].items()} | given
    env = {
        name: re.sub(r"\$\{\{ inputs\.(\w+) \}\}", lambda m: inputs[m[1]], said) for name, said in step["env"].items()
    }
    files = {"GITHUB_STEP_SUMMARY": repo / "summary", "GITHUB_OUTPUT": repo / "output"}
    for path in files.values():
        path.write_text("")
    ran = shell(repo, step["run"], **env, **{k: str(v) for k, v in files.items()}, RUNNER_TEMP=str(repo))
    outputs = dict(line.split("=", 1) for line in files["GITHUB_OUTPUT"].read_text().splitlines())
    return ran, files["GITHUB_STEP_SUMMARY"].read_text(), outputs


def test_the_action_passes_what_holds(repo: Path) -> None:
    ran, summary, outputs = run_action(repo, specs="nets/*.yaml", baseline="nets/baseline.json")
    assert ran.returncode == 0, ran.stderr
    assert summary.startswith("## check: passed\n")
    assert outputs["exit-code"] == "0"
    assert Path(outputs["comment"]).read_text() == summary


def test_the_action_refuses_growth_with_annotations_and_a_summary(repo: Path) -> None:
    grow(repo)
    ran, summary, outputs = run_action(repo, specs="nets/*.yaml", baseline="nets/baseline.json")
    assert ran.returncode == 1
    assert "::error file=nets/net.yaml,line=4,title=total params" in ran.stdout
    assert "| params | 224 | 252 | +28 | +12.50% |" in summary
    assert outputs["exit-code"] == "1"
    assert Path(outputs["comment"]).is_file()


def test_the_actions_inputs_reach_the_command(repo: Path) -> None:
    grow(repo)
    given = {"specs": "nets/net.yaml", "baseline": "nets/baseline.json", "summary": "false"}
    ran, summary, _ = run_action(repo, **given, tolerance="20%", arguments="--dtype float32 --quiet")
    assert (ran.returncode, summary) == (0, "")


def test_the_action_says_what_is_wrong_with_a_spec(repo: Path) -> None:
    (repo / "nets" / "net.yaml").write_text(NET.replace("Conv2d", "Convolve"))
    (repo / "convcli-check.md").write_text("an old report")
    ran, summary, outputs = run_action(repo, specs="nets/*.yaml")
    assert ran.returncode == 2
    assert "::error file=nets/net.yaml,line=4" in ran.stdout
    assert (summary, outputs) == ("", {"exit-code": "2"})


def test_no_input_is_run_as_shell(repo: Path) -> None:
    ran, *_ = run_action(repo, specs="nets/net.yaml;touch${IFS}oops $(touch oops) `touch oops`")
    assert ran.returncode == 2
    assert not (repo / "oops").exists()


def test_the_action_is_one() -> None:
    action = read("action.yml")
    assert action["runs"]["using"] == "composite"
    for step in action["runs"]["steps"]:
        assert step["shell"] == "bash"
        assert "${{" not in step["run"], "what a pull request can write belongs into the environment"
        assert subprocess.run(["bash", "-n", "-c", step["run"]], check=False).returncode == 0
    told = {re.search(r"steps\.check\.outputs\.([\w-]+)", one["value"])[1] for one in action["outputs"].values()}  # type: ignore[index]
    assert told == set(action["outputs"])


def test_the_workflow_uses_what_the_action_has() -> None:
    workflow = example(".github/workflows/networks.yml")
    steps = workflow["jobs"]["check"]["steps"]
    (used,) = (step for step in steps if step.get("id") == "networks")
    action = read("action.yml")
    assert set(used["with"]) <= set(action["inputs"])
    assert {name for name, one in action["inputs"].items() if one.get("required")} <= set(used["with"])
    text = json.dumps(steps)
    assert set(re.findall(r"steps\.networks\.outputs\.([\w-]+)", text)) <= set(action["outputs"])


# pre-commit and GitLab


def test_the_hook_runs(repo: Path) -> None:
    (hook,) = read(".pre-commit-hooks.yaml")
    (config,) = example(".pre-commit-config.yaml")["repos"]
    (used,) = config["hooks"]
    assert used["id"] == hook["id"]
    assert re.search(used["files"], "nets/net.yaml")
    assert not re.search(used["files"], "nets/baseline.json")
    line = shlex.join([*shlex.split(hook["entry"]), *used["args"], "nets/net.yaml"])
    assert shell(repo, line).returncode == 0
    grow(repo)
    assert shell(repo, line).returncode == 1


def test_gitlabs_commands_run(repo: Path) -> None:
    job = example(".gitlab-ci.yml")["networks"]
    install, *lines = job["script"]
    assert install.startswith("pip install")
    assert shell(repo, "\n".join(lines)).returncode == 0
    kept = [*job["artifacts"]["paths"], *job["artifacts"]["reports"].values()]
    assert all((repo / path).is_file() for path in kept)
    grow(repo)
    assert shell(repo, "\n".join(lines)).returncode == 1


def test_the_other_blocks_hold(repo: Path) -> None:
    (line,) = (block for language, block in BLOCK.findall(DOC) if language == "sh")
    assert shell(repo, line).returncode == 0
    for command, _, output in (
        block.removeprefix("$ ").partition("\n") for language, block in BLOCK.findall(DOC) if language == "console"
    ):
        ran = subprocess.run(
            [sys.executable, "-m", *shlex.split(command)], cwd=ROOT, capture_output=True, text=True, check=False
        )
        assert ran.stdout == output


def test_the_spec_of_the_page_is_checked(repo: Path) -> None:
    """With a baseline of its own, then without: a share needs one."""
    (spec,) = (block for language, block in BLOCK.findall(DOC) if language == "yaml" and block.startswith("name:"))
    (repo / "stem.yaml").write_text(spec)
    assert shell(repo, "convcli check stem.yaml --baseline base.json --update-baseline").returncode == 0
    assert shell(repo, "convcli check stem.yaml --baseline base.json").returncode == 0
    assert shell(repo, "convcli check stem.yaml").returncode == 3
