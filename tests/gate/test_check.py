"""What `check` holds against what: expectations, budgets, the baseline, and what is missing."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from gate_drawn import Layers, edited, layer, layers, net
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET

import convcli
from convcli import SpecError
from convcli.gate import baseline as baselines
from convcli.gate.baseline import Baseline
from convcli.gate.check import check
from convcli.gate.findings import Finding, Gate
from convcli.gate.numbers import KEYS
from convcli.plan import Network, plan
from convcli.records import summarize
from convcli.report import FORMATS, render
from convcli.spec.amounts import limit, share

CONV = layer(4, name="conv")


def held(*networks: Network, dtype: str = "float32") -> Baseline:
    """The baseline that these networks write, written and read again."""
    written = baselines.text(baselines.updated(None, map(plan, networks), "baseline.json", dtype))
    return baselines.decoded(written.encode(), "baseline.json")


def bad(found: Gate) -> list[Finding]:
    return [finding for finding in found.checks if finding.status != "passed"]


# Laws


@given(layers())
def test_a_network_holds_against_the_baseline_just_written(found: Layers) -> None:
    once = net(found)
    outcome = check(once, baseline=held(once))
    assert outcome.exit_code == 0
    assert [finding.key for finding in outcome.checks] == list(KEYS)
    assert not outcome.networks[0].change.differs  # type: ignore[union-attr]


@given(edited(), st.integers(0, 40))
def test_growth_beyond_the_tolerance_fails_and_nothing_else(both: tuple[Layers, Layers], tolerance: int) -> None:
    before, after = map(net, both)
    outcome = check(after, baseline=held(before), tolerance=f"{tolerance}%")
    was, now = (summarize(one).reports[0].totals for one in (before, after))
    grew = {
        key for key in ("params", "macs", "flops") if 100 * getattr(now, key) > (100 + tolerance) * getattr(was, key)
    }
    failed = {finding.key for finding in bad(outcome)}
    assert failed & {"params", "macs", "flops"} == grew
    assert outcome.exit_code == (1 if failed else 0)
    assert all(finding.status == "failed" for finding in bad(outcome))


@given(layers())
def test_what_a_layer_is_may_be_expected_of_it(found: Layers) -> None:
    """Every key that a report has can be expected, and a number that is off by one is told."""
    record = summarize(net(found)).reports[0].layers
    keys = ("output", "params", "macs", "macs_nonpad", "bias_adds", "flops", "elementwise_flops")
    facts = [{key: getattr(one, key) for key in keys if getattr(one, key) is not UNSET} for one in record]
    right = [{**one, "expect": expect} for one, expect in zip(found, facts, strict=True)]
    outcome = check(net(right))
    assert outcome.exit_code == 0
    assert outcome.summary.passed == sum(map(len, facts))
    wrong = [{**one, "expect": {**one["expect"], "params": one["expect"]["params"] + 1}} for one in right]
    failed = bad(check(net(wrong)))
    assert [(finding.layer, finding.key) for finding in failed] == [(one.name, "params") for one in record]


@given(st.integers(0, 10**12), st.integers(0, 500), st.integers(0, 99))
def test_a_share_is_exact(number: int, whole: int, hundredths: int) -> None:
    most = limit(f"+{whole}.{hundredths:02d}%", number)
    assert most == number * (10_000 + whole * 100 + hundredths) // 10_000
    assert limit("+0%", number) == number
    assert limit("-100%", number) == 0
    assert limit("+2%") is None


@pytest.mark.parametrize("text", ["2%", "+%", "+2", "+2%%", "+1,5%", "%2", "+-2%", "++2%"])
def test_a_share_has_a_sign_and_a_percent_sign(text: str) -> None:
    assert share(text) is None


# Expectations and budgets


def test_everything_that_fails_is_said_at_once() -> None:
    expect = {"output": [1, 4, 6, 9], "params": 1, "macs": 2, "macs_kept": 3}
    spec = net([{**CONV, "expect": expect, "budget": {"params": 10, "macs": "1k"}}, CONV | {"name": "d"}])
    spec.budget = {"params": 100, "macs": "1G", "weight_bytes": "4kB"}
    found = check(spec)
    said = [(finding.rule, finding.layer or "", finding.key) for finding in bad(found)]
    assert said == [
        ("budget", "", "params"),
        ("expect", "conv", "output"),
        ("expect", "conv", "params"),
        ("expect", "conv", "macs"),
        ("expect", "conv", "macs_kept"),
        ("budget", "conv", "params"),
        ("budget", "conv", "macs"),
    ]
    assert found.exit_code == 1
    text = render(found, "text")
    assert "expected 1x4x6x9, found 1x4x6x5" in text
    assert "expected 1, found 76 (+75)" in text
    assert "this kind of layer has no such number" in text
    assert "at most 1,000" in text


@pytest.mark.parametrize("form", FORMATS)
def test_every_format_says_all_that_fails(form: str) -> None:
    spec = net([{**CONV, "expect": {"params": 1}, "budget": {"macs": 1}}], budget={"weight_bytes": 2})
    said = render(check(spec), form)
    for word in ("params", "macs", "weight_bytes", "conv", "76"):
        assert word in said


def test_a_comment_stays_short() -> None:
    """However much fails; the other formats say all of it."""
    many = [{**layer(4), "expect": {"params": 1}} for _ in range(3000)]
    found = check(net(many), baseline=held(net([CONV])))
    comment = render(found, "markdown")
    assert len(comment) < 65_536
    assert "more" in comment
    assert render(found, "text").count("FAILED") == 3005


def test_a_layers_budget_is_of_its_own_numbers() -> None:
    inside = summarize(net([CONV])).reports[0].layers[0]
    memory = inside.memory
    assert memory is not UNSET
    exactly = {
        "params": inside.params,
        "macs": inside.macs,
        "flops": inside.flops,
        "activation_bytes": memory.output_bytes,
        "weight_bytes": memory.weight_bytes,
    }
    assert check(net([{**CONV, "budget": exactly}, layer(9)])).exit_code == 0
    for key, number in exactly.items():
        (finding,) = bad(check(net([{**CONV, "budget": {**exactly, key: number - 1}}, layer(9)])))  # type: ignore[operator]
        assert (finding.layer, finding.key, finding.found, finding.allowed) == ("conv", key, number, number - 1)  # type: ignore[operator]


def test_a_layer_used_again_and_a_block_have_their_own_rules() -> None:
    block = {"name": "b", "repeat": 2, "layers": [{**CONV, "out_channels": 2, "budget": {"params": 1}}]}
    again = {"name": "again", "shares": "b.0.conv", "budget": {"params": 0, "macs": 1}}
    found = bad(check(net([block, again])))
    assert [(finding.layer, finding.key) for finding in found] == [
        ("b.0.conv", "params"),
        ("b.1.conv", "params"),
        ("again", "macs"),
    ]


# The baseline


def test_a_share_goes_by_itself_and_an_absolute_budget_beside_the_baseline() -> None:
    before, after = net([CONV]), net([layer(5, name="conv")], budget={"params": "+50%", "macs": "1G"})
    found = check(after, baseline=held(before))
    assert {(finding.rule, finding.key, finding.status) for finding in found.checks if finding.key in KEYS[:2]} == {
        ("budget", "params", "passed"),
        ("budget", "macs", "passed"),
        ("baseline", "macs", "failed"),
    }


def test_a_layers_share_is_of_its_own_baseline() -> None:
    after = [{**layer(5, name="conv"), "budget": {"params": "+10%"}}, layer(1, name="small")]
    found = check(net(after), baseline=held(net([CONV, layer(9, name="small")])))
    (finding,) = bad(found)
    assert (finding.layer, finding.baseline, finding.allowed, finding.found) == ("conv", 76, 83, 95)


def test_what_grew_is_named_the_most_first() -> None:
    before = [layer(4, name="a"), layer(4, name="b")]
    after = [layer(5, name="a"), layer(9, name="b"), layer(1, name="c")]
    found = check(net(after), baseline=held(net(before)))
    (params,) = (finding for finding in found.checks if finding.key == "params")
    assert params.detail.startswith("b +")
    assert "a +19" in params.detail
    assert "c (added) +82" in params.detail


@pytest.mark.parametrize("with_budget", [False, True])
def test_a_spec_that_is_not_in_the_baseline_is_not_checked(with_budget: bool) -> None:
    budget = {"budget": {"params": "+2%"}} if with_budget else {}
    found = check(net([CONV], "other.yaml", **budget), baseline=held(net([CONV])))
    assert found.exit_code == 3
    assert all("--update-baseline adds it" in finding.detail for finding in bad(found))


def test_a_share_without_a_baseline_is_not_checked() -> None:
    found = check(net([CONV], budget={"params": "+2%", "macs": "1G"}))
    assert found.exit_code == 3
    (finding,) = bad(found)
    assert "--baseline FILE" in finding.detail


def test_a_new_layer_with_a_share_is_not_checked() -> None:
    found = check(net([CONV, {**layer(1, name="new"), "budget": {"params": "+2%"}}]), baseline=held(net([CONV])))
    assert [finding.layer for finding in bad(found) if finding.status == "unchecked"] == ["new"]


def test_a_layer_that_is_gone_is_told_and_shrinking_is_no_failure() -> None:
    found = check(net([CONV]), baseline=held(net([CONV, layer(1, name="gone")])))
    assert found.exit_code == 0
    assert "gone" in render(found, "text")
    assert "removed" in render(found, "markdown")


def test_nothing_checked_is_no_pass() -> None:
    found = check(net([CONV]))
    assert found.exit_code == 3
    assert "nothing was checked" in render(found, "text")


def test_an_unknown_cost_is_said() -> None:
    unknown = {"type": "Unknown", "operation": "nms", "shape": [1, 4], "name": "odd", "budget": {"macs": 1}}
    found = check(net([CONV, unknown], budget={"params": "1k"}))
    assert found.exit_code == 3
    assert [finding.layer for finding in bad(found)] == ["odd"]
    assert "lower bounds: nobody knows the cost of odd" in render(found, "text")


def test_a_total_that_became_a_lower_bound_is_not_held() -> None:
    """An operation of unknown cost does not make a network smaller; one that was agreed to stays."""
    unknown = {"type": "Unknown", "operation": "nms", "shape": [1, 4], "name": "odd"}
    before, after = net([CONV, layer(9, name="big")]), net([CONV, unknown])
    found = check(after, baseline=held(before))
    assert found.exit_code == 3
    assert {finding.key for finding in bad(found)} == set(KEYS) - {"activation_bytes"}
    assert all("odd" in finding.detail for finding in bad(found))
    assert check(after, baseline=held(after)).exit_code == 0


def test_bytes_are_of_one_data_type() -> None:
    assert check(net([CONV]), baseline=held(net([CONV]), dtype="float16"), dtype="float16").exit_code == 0
    with pytest.raises(SpecError, match="counts bytes for float16"):
        check(net([CONV]), baseline=held(net([CONV]), dtype="float16"))


# The file


def test_a_baseline_is_the_same_bytes_wherever_it_is_written(tmp_path: Path) -> None:
    texts = []
    for folder in ("here", "there/deeper"):
        nets = tmp_path / folder / "nets"
        nets.mkdir(parents=True)
        for name in ("b.json", "a.json"):
            (nets / name).write_text(json.dumps({"input": [1, 2, 6, 5], "layers": [CONV, "ReLU()"]}))
        sources = ["b.json", "a.json"] if folder == "here" else ["a.json", "b.json"]
        plans = [plan(convcli.load(nets / name)) for name in sources]
        texts.append(baselines.text(baselines.updated(None, plans, nets.parent / "baseline.json", "float32")))
    assert texts[0] == texts[1]
    assert list(json.loads(texts[0])["specs"]) == ["nets/a.json", "nets/b.json"]
    assert str(tmp_path) not in texts[0]
    assert texts[0].endswith("}\n")
    assert texts[0].isascii()


def test_a_baseline_to_the_byte(golden: Callable[[str, str], None]) -> None:
    """The same on every version of Python."""
    odd = {"type": "Unknown", "operation": "nms", "shape": [1, 4], "name": "odd \N{SNOWMAN}"}
    written = held(
        net([CONV, layer(9), odd], "nets/b.yaml"), net([{**CONV, "out_channels": 10**12}], "a.yaml", name=None)
    )
    golden("baseline.json", baselines.text(written))


def test_keys_are_sorted_everywhere() -> None:
    def sorted_keys(value: Any) -> bool:
        if isinstance(value, dict):
            return list(value) == sorted(value) and all(map(sorted_keys, value.values()))
        return not isinstance(value, list) or all(map(sorted_keys, value))

    assert sorted_keys(json.loads(baselines.text(held(net([CONV, layer(1)], "b.yaml"), net([CONV], "a.yaml")))))


@given(st.text(max_size=8))
def test_any_name_comes_back(name: str) -> None:
    once = net([{**CONV, "name": f"x{name}"}])
    assert check(once, baseline=held(once)).exit_code == 0


def test_numbers_of_any_size_come_back() -> None:
    wide = net([layer(10**15, name="wide")], input=[10**9, 10**12, 10**9, 10**9])
    assert check(wide, baseline=held(wide)).exit_code == 0


def test_some_specs_are_updated_and_those_whose_files_are_gone_leave(tmp_path: Path) -> None:
    for name in ("a.json", "b.json"):
        (tmp_path / name).write_text(json.dumps({"input": [1, 2, 6, 5], "layers": [CONV]}))
    path = tmp_path / "baseline.json"
    plans = {name: plan(convcli.load(tmp_path / name)) for name in ("a.json", "b.json")}
    both = baselines.updated(None, plans.values(), path, "float32")
    assert sorted(baselines.updated(both, [plans["a.json"]], path, "float32").specs) == ["a.json", "b.json"]
    (tmp_path / "b.json").unlink()
    assert sorted(baselines.updated(both, [plans["a.json"]], path, "float32").specs) == ["a.json"]


@pytest.mark.parametrize(
    "data",
    [b"", b"{", b"[]", b"{}", b"\xff\xfe", b'{"baseline": 2}', b'{"baseline": 1, "specs": {"a": 3}}', b"[" * 10000],
)
def test_what_is_no_baseline_is_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "baseline.json"
    path.write_bytes(data)
    with pytest.raises(SpecError, match="this is no baseline"):
        check(net([CONV]), baseline=path)


def test_a_baseline_that_is_not_there_is_said_to_be_missing(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"no baseline yet.*--update-baseline"):
        check(net([CONV]), baseline=tmp_path / "baseline.json")
    with pytest.raises(SpecError, match="directory"):
        check(net([CONV]), baseline=tmp_path)
