"""What holds for every report: each format says the record's numbers, and no name breaks it."""

from __future__ import annotations

import csv
import io
import json
import re
import subprocess
import sys
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt  # rich brings it
from report_samples import COMMANDS, NASTY, check, conv, entry, good, huge, many, named, outcomes, report, verdict

from convcli import units
from convcli.errors import Problem, SpecError
from convcli.gate.check import check as checked
from convcli.gate.sides import diff
from convcli.plan import Network
from convcli.report import FORMATS, form_of, github, markdown, render, text
from convcli.report.csv import guarded
from convcli.verifier.verdict import Outcome, Status, outcome

if TYPE_CHECKING:
    from collections.abc import Iterator

    from convcli.gate.changes import Diff
    from convcli.gate.findings import Gate
    from convcli.records import Command, LayerRecord, Report

NOTHING: dict[str, Any] = {"seed": 0, "environment": {}, "seconds": 1.0}
COUNTS = ("params", "macs", "macs_nonpad", "bias_adds", "flops", "macs_kept", "interpolation_macs")


def rows_of(record: Report | Outcome) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(render(record, "csv"))))


def xml_of(rendered: str) -> ET.Element:
    return ET.fromstring(rendered)  # noqa: S314 - our own


def all_layers(record: Report) -> Iterator[tuple[str, LayerRecord]]:
    """Every layer and part with its name in csv, in order."""
    for net in record.reports:
        for layer in net.layers:
            yield layer.name, layer
            yield from ((f"{layer.name}/{part.name}", part) for part in layer.parts or ())


def builtins(value: object) -> object:
    """The record as JSON has it: lists for tuples."""
    plain = msgspec.to_builtins(value)
    return json.loads(json.dumps(plain))


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("make", [lambda command: report(command, "a.yaml", "b.yaml"), lambda _: huge()])
def test_json_is_the_record(command: Command, make: object) -> None:
    record = make(command)  # type: ignore[operator]
    assert json.loads(render(record, "json")) == builtins(record)
    assert list(json.loads(render(record, "json"))) == [
        "schema",
        "convcli",
        "command",
        "convention",
        "dtype",
        "reports",
    ]


@pytest.mark.parametrize("command", COMMANDS)
def test_csv_numbers_are_the_records(command: Command) -> None:
    record = report(command, "a.yaml", "b.yaml", backward=command == "flops")
    rows = rows_of(record)
    assert [row["layer"] for row in rows] == [name for name, _ in all_layers(record)]
    for row, (_, layer) in zip(rows, all_layers(record), strict=True):
        for key in COUNTS:
            value = getattr(layer, key)
            assert row.get(key, "") == ("" if value is msgspec.UNSET else str(value))
        if layer.memory is not msgspec.UNSET:
            assert row["memory.weight_bytes"] == str(layer.memory.weight_bytes)
        if layer.backward is not msgspec.UNSET:
            assert row["backward.macs"] == str(layer.backward.macs)


@pytest.mark.parametrize("form", ["markdown", "text"])
def test_tables_numbers_are_the_records(form: str) -> None:
    record = report("summary")
    lines = [re.sub(r"(?<=\d),(?=\d)", "", line) for line in render(record, form).splitlines()]
    for layer in record.reports[0].layers:
        (line,) = [line for line in lines if re.match(rf"(\| )?{re.escape(layer.name)}\s", line)]
        words = re.split(r"[|\s]+", line)
        assert {str(layer.params), str(layer.macs), str(layer.flops)} <= set(words)
    (line,) = [line.replace("*", "") for line in lines if "total" in line]
    assert f" {record.reports[0].totals.macs} " in line


def test_parts_are_not_added_again() -> None:
    (net,) = report("params").reports
    rows = rows_of(report("params"))
    own = sum(int(row["params"]) for row in rows if "/" not in row["layer"])
    assert own == net.totals.params
    assert sum(int(row["params"]) for row in rows) > own


def test_several_networks_are_added_up() -> None:
    one, two = report("flops", "a.yaml"), report("flops", "a.yaml", "b.yaml")
    macs = one.reports[0].totals.macs
    assert isinstance(macs, int)
    assert f"2 networks together: {units.scaled(2 * macs, 'MACs')}," in render(two, "text")
    assert "together" not in render(one, "text")


@pytest.mark.parametrize("form", FORMATS)
def test_huge_numbers_stay_whole(form: str) -> None:
    macs = huge().reports[0].totals.macs
    assert isinstance(macs, int)
    assert macs >= 10**60
    assert str(macs) in render(huge(), form).replace(",", "")


def test_huge_numbers_keep_jsons_order_and_indent() -> None:
    small, large = render(named(["a"]), "json"), render(huge(), "json")

    def keys(rendered: str) -> list[str]:
        return re.findall(r'^ *"\w+":', rendered, re.MULTILINE)

    assert keys(small) == keys(large)


def test_a_warning_is_told_though_the_layer_passed() -> None:
    detail = "torch 0.07 of the bound for 4097 roundings; torch is beyond the statistical level by 29"
    odd = check("forward", method="bound", bound_ratio=0.07, statistical_ratio=29.0, detail=detail)
    fine = check("mantissa", method="exact", detail="x and weight long: exact: proven, 23.0 of 24 bits used")
    warned = outcome((verdict("a", "Conv2d", (odd, fine)), verdict("b", "Conv2d", (fine,))), **NOTHING)
    told = render(warned, "text")
    assert "forward [float32, bound]: passed, with a warning" in told
    assert "beyond the statistical level by 29" in told
    assert "x and weight long" not in told
    assert "b  Conv2d" not in told.split("passed, with a warning")[1]
    assert json.loads(render(warned, "json"))["layers"][0]["checks"][0]["statistical_ratio"] == 29
    assert warned.exit_code == 0


def test_json_knows_no_nan() -> None:
    odd = check("forward", Status.FAILED, bound_ratio=float("inf"), max_abs_error=float("nan"))
    for name in ("a", "\ud800"):  # msgspec's way and the long way
        broken = verdict(name, "Conv2d", (odd,))
        rendered = render(outcome((broken,), seed=10**30, environment={}, seconds=1.0), "json")
        loaded = json.loads(rendered, parse_constant=pytest.fail)
        found = loaded["layers"][0]["checks"][0]
        assert (loaded["seed"], found["bound_ratio"], found["max_abs_error"]) == (10**30, None, None)


def test_many_layers_are_one_line_each() -> None:
    record = many(2500)
    rendered = render(record, "json")
    assert json.loads(rendered) == builtins(record)
    assert sum(line.startswith('{"name":"conv') for line in rendered.splitlines()) == 2500
    network = record.reports[0]
    layers_and_huge = (*network.layers, msgspec.structs.replace(network.layers[0], name="conv\nhuge", macs=2**80))
    longer = msgspec.structs.replace(record, reports=(msgspec.structs.replace(network, layers=layers_and_huge),))
    assert json.loads(render(longer, "json")) == builtins(longer)
    assert set(rendered.splitlines()[1:2500]) < set(render(longer, "json").splitlines())
    layers = tuple(verdict(f"v{i}", "Conv2d", (check("forward"),)) for i in range(2500))
    big = outcome(layers, seed=0, environment={}, seconds=1.0)
    assert json.loads(render(big, "json")) == builtins(big)


@pytest.mark.parametrize("form", FORMATS)
def test_any_name_and_source(form: str) -> None:
    for name in NASTY:
        for record in (named([name, "after"], source=name), hostile(name)):
            rendered = render(record, form)
            rendered.encode()  # no lone surrogate
            assert "\x00" not in rendered
            assert "\x1b" not in rendered
            assert rendered.endswith("\n")


@pytest.mark.parametrize("form", FORMATS)
def test_any_name_in_a_diff_and_a_check(form: str) -> None:
    for name in NASTY:
        for record in (renamed(name), expecting(name)):
            rendered = render(record, form)
            rendered.encode()  # no lone surrogate
            assert "\x00" not in rendered
            assert "\x1b" not in rendered
            assert rendered.endswith("\n")
            if form == "junit":
                xml_of(rendered)
            elif form == "markdown":
                tables = [line for line in rendered.splitlines() if line.startswith("|")]
                assert {len(re.findall(r"(?<!\\)(?:\\\\)*\|", line)) for line in tables} <= {3, 5, 11}
            elif form == "csv":
                assert len(rendered.splitlines()) == 2


def renamed(name: str) -> Diff:
    """A layer that got this name, in a source that has it too."""
    ends = [Network([entry(said, "Conv2d", conv(), 1)], name, name, (1, 8, 6, 5)) for said in ("plain", name)]
    return diff(*ends)


def expecting(name: str) -> Gate:
    """A layer of this name that is not what it should be."""
    wrong = entry(name, "Conv2d", conv(), 1)
    wrong.expect = {"params": 1}
    return checked(Network([wrong], name, name, (1, 8, 6, 5)))


def hostile(name: str) -> Outcome:
    failed = check("forward", Status.FAILED, detail=f"{name}\n{name}\x1b[31m")
    return outcome(
        (verdict(name, name, (failed,), source=name, repro=name),), seed=0, environment={"x": name}, seconds=1.0
    )


def test_rows_are_lines_whatever_the_names() -> None:
    assert len(render(named(NASTY), "csv").splitlines()) == len(NASTY) + 1
    assert len(render(named(NASTY), "github").splitlines()) == len(NASTY) + 1
    table = [line for line in render(named(NASTY), "markdown").splitlines() if line.startswith("|")]
    assert len(table) == len(NASTY) + 3
    assert {len(re.findall(r"(?<!\\)(?:\\\\)*\|", line)) for line in table} == {9}


@pytest.mark.parametrize("name", ["=1+1", "+1", "-1", "@SUM(A1)"])
def test_csv_runs_no_formula(name: str) -> None:
    rows = rows_of(named([name], source=name))
    assert (rows[0]["layer"], rows[0]["source"]) == (f"'{name}", f"'{name}")
    assert rows_of(hostile(name))[0]["detail"].startswith("'")


def test_csv_leaves_numbers_and_plain_text_alone() -> None:
    assert [guarded(text) for text in ("", "-", "conv-1", "a=b", "two\nlines")] == [
        "",
        "-",
        "conv-1",
        "a=b",
        r"two\nlines",
    ]
    assert rows_of(report("shape"))[0]["receptive_field.start"] == "0.5x0.5"


def test_markdown_shows_names_as_they_are() -> None:
    assert markdown.escaped("a|b\\|c `d` <b> &amp; *e* x_y _z_") == r"a\|b\\\|c \`d\` &lt;b> &amp;amp; \*e\* x_y \_z\_"


@given(st.text("ab|\\\\`*_[]<>&~#\n{}()!", min_size=1, max_size=8).filter(str.strip))
@example("a|b")
@example("a\\\\|b")
@example("<script>alert(1)</script>")
@example("&lt;")
def test_markdown_parsers_read_the_name_back(name: str) -> None:
    tokens = MarkdownIt("commonmark").enable("table").parse(render(named([name]), "markdown"))
    place = next(i for i, token in enumerate(tokens) if token.type == "td_open")
    children = tokens[place + 1].children or []
    assert {child.type for child in children} <= {"text", "text_special"}
    assert "".join(child.content for child in children) == units.printable(name).strip()


@given(st.text(st.characters(codec=None), max_size=12))
@example("\x00")
@example("\ud800")
@example("\ufffe")
@example("]]>")
def test_xml_parses_whatever_the_name(name: str) -> None:
    for record in (named([name], source=name), hostile(name)):
        (case,) = xml_of(render(record, "junit")).iter("testcase")
        assert case.get("classname", "").count(".") >= 1 or not name


def test_junit_keeps_networks_of_one_source_apart_or_together_but_loses_none() -> None:
    cases = xml_of(render(report("params", "same.yaml", "same.yaml"), "junit")).iter("testcase")
    assert len(list(cases)) == 8


def test_junit_says_how_each_check_ended() -> None:
    root = xml_of(render(outcomes(), "junit"))
    ends = {(case.get("classname"), case.get("name")): [child.tag for child in case] for case in root.iter("testcase")}
    assert ends["net.yaml.conv1", "forward [float64]"] == []
    assert ends["net.yaml.conv2", "forward [float32]"] == ["failure"]
    assert ends["net.yaml.dead", "layer"] == ["error"]
    assert ends["net.yaml.odd", "forward [float32]"] == ["skipped"]
    assert len(ends) == len(list(root.iter("testcase")))  # no two cases share a name
    assert (root.get("tests"), root.get("failures"), root.get("errors"), root.get("skipped")) == ("13", "2", "2", "2")
    (failure,) = root.findall(".//testcase[@classname='net.yaml.conv2']/failure")
    assert (failure.text or "").splitlines()[-1] == outcomes().layers[1].repro


def test_a_dead_layer_is_told_beside_its_finished_checks() -> None:
    died = verdict("dead", "Conv2d", (check("shape"),), status=Status.CRASHED, reason="signal 11")
    record = outcome((died,), seed=0, environment={}, seconds=1.0)
    assert [(row["check"], row["status"], row["detail"]) for row in rows_of(record)] == [
        ("shape", "passed", ""),
        ("layer", "crashed", "signal 11"),
    ]
    (error,) = xml_of(render(record, "junit")).iter("error")
    assert error.get("message") == "signal 11"
    assert "layer: crashed: signal 11" in render(record, "text")


def test_github_escapes_by_its_rules() -> None:
    line = github.command("error", "50%\r\na:b,c", title="x:y,z%", source="a,b.yaml", line=3)
    assert line == "::error file=a%2Cb.yaml,line=3,title=x%3Ay%2Cz%25::50%25%0D%0Aa:b,c"


def test_github_marks_what_is_bad_and_what_is_idle() -> None:
    kinds = [line.split()[0] for line in render(outcomes(), "github").splitlines()]
    assert kinds == ["::notice", *["::error"] * 4, *["::warning"] * 2]


def test_github_problems() -> None:
    first = Problem("is too small", ("layers", 3, "groups"), allowed="at least 1", source="net.yaml", line=12, column=7)
    lines = github.problems(SpecError(problems=(first, Problem("no layers")))).splitlines()
    assert lines == [
        "::error file=net.yaml,line=12,col=7,title=layers[3].groups::is too small; allowed: at least 1",
        "::error title=spec::no layers",
    ]


def test_idle_layers_with_one_reason_share_a_block() -> None:
    idle = tuple(
        verdict(f"c{i}", "Conv2d", (), status=Status.UNSUPPORTED, reason="torch is not installed") for i in range(53)
    )
    rendered = text.plain(outcome(idle, seed=0, environment={}, seconds=0.1))
    assert rendered.count("torch is not installed") == 1
    assert "and 52 more" in rendered
    assert rendered.endswith("\nnothing was checked: 0 passed, 53 unsupported in 0.1 s\n")


def test_an_interruption_is_named() -> None:
    record = msgspec.structs.replace(good(), interrupted=True)
    assert render(record, "text").endswith("\ninterrupted: 1 passed in 0.5 s\n")


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.000 kB"),
        (118_013_952, "118.0 MB"),
        (999_949, "999.9 kB"),
        (999_951, "1.000 MB"),
        (4_089_184_256, "4.089 GB"),
        (10**60, "1.000e+60 B"),
        (2 * 10**400, "2.000e+400 B"),
        (10**27 - 1, "1.000e+27 B"),
    ],
)
def test_scaled(number: int, words: str) -> None:
    assert units.scaled(number, "B") == words


@given(st.integers(0, 10**40))
def test_scaled_is_within_half_a_thousandth(number: int) -> None:
    value, unit = units.scaled(number, "B").split()
    power = 1000 ** units.PREFIXES.index(unit.removesuffix("B"))
    assert abs(float(value) * power - number) <= number / 2000 + 1e-9


def test_unknown_formats_and_endings_are_named() -> None:
    with pytest.raises(SpecError, match="text, json, csv, markdown, junit, github"):
        render(good(), "yaml")
    with pytest.raises(SpecError, match=r"\.json, \.md, \.csv, \.xml, \.txt"):
        form_of("report.pdf")
    with pytest.raises(SpecError, match="has no ending"):
        form_of("report")
    assert [form_of(f"a.b{ending}") for ending in (".JSON", ".md", ".csv", ".xml", ".txt")] == [
        "json",
        "markdown",
        "csv",
        "junit",
        "text",
    ]


@pytest.mark.parametrize("form", ["text", "json"])
def test_the_calculators_way_stays_light(form: str) -> None:
    script = (
        "from convcli.report import render; from report_samples import network; from convcli.records import summarize; "
        f"render(summarize(network()), {form!r}); "
        "print({'numpy', 'torch', 'rich', 'csv', 'junitparser', 'xml', 'unicodedata'} & set(sys.modules))"
    )
    command = [sys.executable, "-c", f"import sys; sys.path[:] = {sys.path!r}; {script}"]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "set()\n"
