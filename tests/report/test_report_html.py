"""The HTML report: well-formed, self-contained, every name text, every number the record's, what failed first."""

from __future__ import annotations

import re
import subprocess
import sys
from base64 import b64encode
from hashlib import sha256
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from report_samples import (
    COMMANDS,
    benches,
    check,
    conv,
    differing,
    diffs,
    entry,
    gates,
    incomplete,
    many,
    named,
    network,
    outcomes,
    report,
    seen,
    self_tests,
    solved,
    verdict,
)

from convcli import units
from convcli.explaining.record import explain
from convcli.layers.rearrange import Flatten
from convcli.plan import Network, plan
from convcli.records import summarize
from convcli.report import form_of, render, text, verdicts
from convcli.report.html import album, tables
from convcli.report.html.document import MOST_FOLDS, MOST_LINKS
from convcli.report.html.element import VOID, Markup, element
from convcli.report.table import Column, Row, Table
from convcli.report.table import page as table_page
from convcli.report.text import cell_text
from convcli.spec.load import networks
from convcli.verifier.verdict import Status, outcome

if TYPE_CHECKING:
    from collections.abc import Iterator

    from convcli.records import Command
    from convcli.report import Record
    from convcli.verifier.verdict import Outcome

SAMPLES = Path(__file__).parent.parent.parent / "sample_configs"
Attributes = dict[str, str | None]


class Tree(HTMLParser):
    """A document's tags in order, with their attributes and all the text inside; fails on tags that do not match."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, Attributes]] = []
        self.texts: list[list[str]] = []
        self.open: list[int] = []
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len(dict(attrs)) == len(attrs)
        self.tags.append((tag, dict(attrs)))
        self.texts.append([])
        if tag not in VOID:
            self.open.append(len(self.tags) - 1)

    def handle_endtag(self, tag: str) -> None:
        assert self.tags[self.open.pop()][0] == tag

    def handle_data(self, data: str) -> None:
        for place in self.open:
            self.texts[place].append(data)

    def found(self, tag: str, **attributes: str) -> Iterator[tuple[Attributes, str]]:
        """The elements of that name and those attributes, and what they say."""
        for (name, attrs), said in zip(self.tags, self.texts, strict=True):
            if name == tag and attributes.items() <= attrs.items():
                yield attrs, "".join(said)

    def rows(self) -> list[list[str]]:
        """The texts of every row's cells."""
        found: list[list[str]] = []
        for (name, _), said in zip(self.tags, self.texts, strict=True):
            if name == "tr":
                found.append([])
            elif name in {"td", "th"}:
                found[-1].append("".join(said))
        return found


def tags_of(record: Record) -> list[str]:
    return [tag for tag, _ in Tree(render(record, "html")).tags]


def hostile(name: str) -> Outcome:
    failed = check("forward", Status.FAILED, detail=f"{name}\n{name}\x1b[31m")
    return outcome(
        (verdict(name, name, (failed,), source=name, repro=name),), seed=0, environment={"x": name}, seconds=1.0
    )


@given(st.text(st.characters(codec=None), min_size=1, max_size=12))
@example("<script>alert(1)</script>")
@example("</table><img src=x onerror=alert(1)>")
@example('"><b onclick="alert(1)">')
@example("&lt;")
@example("</title></style></script><!--")
def test_a_name_is_text_wherever_it_stands(name: str) -> None:
    for record, plain in ((named([name], source=name), named(["a"], source="a")), (hostile(name), hostile("a"))):
        page = render(record, "html")
        assert tags_of(record) == tags_of(plain)
        assert units.printable(name) in [said for _, said in Tree(page).found("th", scope="row")]
        assert units.printable(name) in [said for _, said in Tree(page).found("b")]


@given(st.text(st.characters(codec=None), max_size=9), st.text(st.characters(codec=None), max_size=9))
def test_an_element_reads_back(inside: str, value: str) -> None:
    ((name, attributes),) = (tree := Tree(element("p", inside, title=value, class_="x", hidden=None))).tags
    assert name == "p"
    assert "".join(tree.texts[0]) == units.printable(inside)
    assert attributes == {"class": "x", **({"title": units.printable(value)} if value else {})}
    assert element("p", Markup("<br>"), data_v=0) == '<p data-v="0"><br></p>'


@pytest.mark.parametrize("command", COMMANDS)
def test_the_tables_numbers_are_the_records(command: Command) -> None:
    record = report(command, backward=command == "flops")
    (grid,) = table_page(record).tables
    rows = Tree(render(record, "html")).rows()
    assert rows[0] == [column.title for column in grid.columns]
    assert [row[0] for row in rows[1:]] == [str(row.cells[0]) for row in grid.rows]
    assert [[cell for cell in row[1:] if cell not in {"", "-"}] for row in rows[1:]] == [
        [cell_text(cell, separators=True) for cell in row.cells[1:] if cell is not None] for row in grid.rows
    ]


SAID: dict[str, Record] = {
    **{command: report(command, "a.yaml", "b.yaml") for command in COMMANDS},
    "verify": outcomes(),
    "self-test": self_tests(),
    "bench": benches(),
    "check": gates(),
    "diff": diffs(),
    "explain": explain(network()),
    "why-differs": differing(),
    "receptive-field": seen(),
    **solved(),
}


@pytest.mark.parametrize("case", SAID)
def test_what_the_text_says_the_page_says(case: str) -> None:
    """Every word and number; of the signs between them, the page has elements in their place."""
    tree = Tree(render(SAID[case], "html"))
    (page,) = [said for _, said in tree.found("body")]
    told, words = (re.sub(r"(?<=\d),(?=\d)", "", said.lower()) for said in (page, text.plain(SAID[case])))
    assert {word for word in re.findall(r"[^\s,;:]+", words) if word not in told} <= {"timed_out"}


@given(st.lists(st.integers(0, 10**40), min_size=1), st.lists(st.integers(0, 10**6), min_size=1))
def test_bars_are_shares_of_the_largest_number_of_their_unit(first: list[int], second: list[int]) -> None:
    columns = (Column("name"), Column("a", bar="x"), Column("b", bar="x"), Column("c", bar="y"), Column("d"))
    pairs = list(zip(first, second, strict=False))
    rows = [Row((f"r{place}", a, b, f"{b / 8}", a)) for place, (a, b) in enumerate(pairs)]
    tree = Tree(tables.table(Table("", columns, (*rows, Row(("t", 10**50, 0, "0", 1), "total"))), "caption"))
    cells = [attributes["class"] or "" for attributes, _ in tree.found("td")]
    for place, (a, b) in enumerate(pairs):
        for classes, amount, most in zip(
            cells[4 * place :],
            (a, b, b),
            (*[max(max(pair) for pair in pairs)] * 2, max(b for _, b in pairs)),
            strict=False,
        ):
            share = [int(word[1:]) for word in classes.split() if re.fullmatch(r"b\d+", word)]
            assert share == ([] if amount == 0 else [max(1, round(100 * amount / most))])
        assert cells[4 * place + 3] == "n"
    assert cells[-4:] == ["n"] * 4  # a total is no part of the scale


@pytest.mark.parametrize(
    "record", [report("summary"), outcomes(), benches(), gates()], ids=["report", "outcome", "sheet", "gate"]
)
def test_the_page_allows_its_own_style_and_script_and_no_more(record: Record) -> None:
    page = render(record, "html")
    tree = Tree(page)
    (policy,) = [attrs["content"] or "" for attrs, _ in tree.found("meta") if "http-equiv" in attrs]
    assert policy.startswith("default-src 'none'; img-src data:;")
    for name in ("style", "script"):
        ((attributes, source),) = tree.found(name)
        assert attributes == {}
        digest = b64encode(sha256(source.encode()).digest()).decode()
        assert f"{name}-src 'sha256-{digest}'" in policy
    assert not [key for _, attrs in tree.tags for key in attrs if key == "style" or key.startswith("on")]
    links = [attrs[key] or "" for _, attrs in tree.tags for key in ("href", "src") if key in attrs]
    assert all(link.startswith(("#", "data:")) for link in links)


@pytest.mark.parametrize("record", [report("flops", "a.yaml", "b.yaml"), outcomes(), benches(), gates(), many(300)])
def test_links_lead_somewhere_and_ids_are_unique(record: Record) -> None:
    tree = Tree(render(record, "html"))
    ids = [attrs["id"] for _, attrs in tree.tags if "id" in attrs]
    assert len(ids) == len(set(ids))
    targets = {(attrs["href"] or "")[1:] for attrs, _ in tree.found("a")}
    labels = {label for _, attrs in tree.tags for label in (attrs.get("aria-labelledby") or "").split()}
    assert targets | labels <= set(ids)
    assert "main" in targets


def test_headings_do_not_skip_a_level() -> None:
    for record in (report("summary", "a.yaml", "b.yaml"), outcomes(), benches()):
        levels = [int(tag[1]) for tag in tags_of(record) if re.fullmatch(r"h\d", tag)]
        assert levels[0] == 1
        assert levels.count(1) == 1
        assert all(below <= above + 1 for above, below in pairwise(levels))


def test_tables_are_labelled() -> None:
    tree = Tree(render(outcomes(), "html"))
    tags = [tag for tag, _ in tree.tags]
    assert tags.count("table") == tags.count("caption") == len(outcomes().layers) + 1
    assert {attrs.get("scope") for attrs, _ in tree.found("th")} == {"col", "row"}
    assert len(list(tree.found("div", role="group"))) == tags.count("table")
    assert all(attrs["aria-label"] for attrs, _ in tree.found("div", role="group"))


def test_what_failed_comes_first_with_the_line_that_repeats_it() -> None:
    page = render(outcomes(), "html")
    tree = Tree(page)
    assert next(said for _, said in tree.found("h2")) == "Failed: 4 layers"
    articles = [(attrs["class"], said) for attrs, said in tree.found("article")]
    assert [kind for kind, _ in articles] == ["bad"] * 4 + ["idle"] * 2
    for layer, (_, said) in zip([one for one in outcomes().layers if one.status.bad], articles, strict=False):
        assert layer.name in said
        assert said.endswith(layer.repro)
    assert "found 13" in articles[0][1]
    assert page.index("<article") < page.index("<table")
    kinds = {said: attrs["class"] for attrs, said in tree.found("span")}
    assert kinds["passed"] == "badge good"
    assert kinds["timed out"] == kinds["mistrusted"] == "badge bad"
    assert kinds["skipped"] == "badge idle"


def test_every_check_stands_in_its_layers_fold() -> None:
    folds = [said for _, said in Tree(render(outcomes(), "html")).found("details")]
    assert len(folds) == len(outcomes().layers)
    for layer, said in zip(outcomes().layers, folds, strict=True):
        assert said.startswith(layer.name)
        assert all(one.name in said and verdicts.words(one.status) in said for one in verdicts.checks(layer))


def test_folds_hold_the_whole_record_of_the_first_layers() -> None:
    folds = [said for _, said in Tree(render(report("summary"), "html")).found("details")]
    assert "macs nonpad116,214,528" in folds[0]
    assert "weight=64x3x7x7" in folds[0]
    large = Tree(render(many(MOST_FOLDS + 7), "html"))
    assert len(list(large.found("details"))) == MOST_FOLDS
    assert [said for _, said in large.found("p", **{"class": "note"})] == [
        f"7 more layers in the table only: folds and pictures are for the first {MOST_FOLDS}"
    ]
    assert len(list(large.found("tr"))) == MOST_FOLDS + 7 + 2


def test_each_layer_has_its_picture_and_equal_ones_share_it() -> None:
    pages = [Tree(render(report("summary"), "html", [plan(network()), plan(network())])) for _ in range(2)]
    assert pages[0].tags == pages[1].tags
    pictures = [(attrs, said) for attrs, said in pages[0].found("svg", role="img")]
    assert len(pictures) == 4
    for (attrs, _), title, layer in zip(pictures, list(pages[0].found("title"))[1:], network().entries, strict=True):
        assert attrs["class"] == "convcli"
        assert layer.name in title[1]
    assert not [key for _, attrs in pages[0].tags for key in attrs if key.startswith("data-")]

    names = ["a", "b", "<script>"]
    equal = Network([entry(name, "Conv2d", conv()) for name in names], source="net.yaml", input=(1, 8, 6, 5))
    tree = Tree(render(named(names), "html", [plan(equal)]))
    assert len(list(tree.found("svg"))) == 1
    links = [(attrs["href"], said) for attrs, said in tree.found("a") if attrs["href"] == "#n1-1"]
    assert links == [("#n1-1", "a")] * 3


def test_a_name_that_two_layers_have_has_no_picture() -> None:
    twins = [
        plan(Network([entry("a", "Conv2d", conv(8, kernel))], source="net.yaml", input=(1, 8, 6, 5)))
        for kernel in (1, 3)
    ]
    assert not list(Tree(render(named(["a"]), "html", twins)).found("svg"))
    assert len(list(Tree(render(named(["a"]), "html", twins[:1])).found("svg"))) == 1
    flat = Network([entry("a", "Flatten", Flatten())], source="net.yaml", input=(1, 8, 6, 5))
    assert not list(Tree(render(named(["a"]), "html", [plan(flat)])).found("svg"))


def test_layers_of_every_kind_are_drawn() -> None:
    (spec,) = networks([str(SAMPLES / "single-layers.yaml")], [], None)
    steps = plan(spec).steps
    tree = Tree(render(summarize(spec), "html", [plan(spec)]))
    assert len(list(tree.found("svg"))) == len({(step.layer, step.x) for step in steps}) > 25
    ids = [attrs["id"] for _, attrs in tree.tags if "id" in attrs]
    assert len(ids) == len(set(ids))


def test_pictures_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(album, "MOST_PICTURES", 2)
    tree = Tree(render(report("summary"), "html", [plan(network())]))
    assert len(list(tree.found("svg"))) == 2
    assert sum("a page has 2" in said for _, said in tree.found("p")) == 2


def test_the_verifiers_layers_and_those_that_were_timed_have_pictures_too() -> None:
    timed = Network([entry("a|b", "Conv2d", conv())], source="net.yaml", input=(1, 8, 6, 5))
    assert len(list(Tree(render(outcomes(), "html", [plan(network())])).found("svg"))) == 1
    tree = Tree(render(benches(), "html", [plan(timed)]))
    assert len(list(tree.found("svg"))) == 1
    assert [said for _, said in tree.found("h2")][-1] == "Pictures"


def test_a_thousand_networks_have_a_short_list_of_links() -> None:
    tree = Tree(render(report("shape", *[f"{number}.yaml" for number in range(200)]), "html"))
    ((_, said),) = tree.found("nav")
    assert said.endswith("and 210 more")
    assert len(list(tree.found("li"))) == MOST_LINKS + 1


def test_rows_beyond_what_a_browser_bears_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "MOST_ROWS", 50)
    tree = Tree(render(many(120), "html"))
    rows = tree.rows()
    assert (rows[1][0], rows[50][0], rows[51][0], len(rows)) == ("conv0", "conv49", "total", 52)
    assert "70 more rows are left out here: csv and json have them all" in [said for _, said in tree.found("p")]


def test_lower_bounds_say_so() -> None:
    tree = Tree(render(incomplete(report("summary")), "html"))
    assert "at least 577.2 M577,224,704" in [said for _, said in tree.found("dd")]


def test_html_is_an_ending_and_the_calculators_way_stays_light() -> None:
    assert form_of("a.HTML") == "html"
    script = (
        "from convcli.report import render; from report_samples import network; from convcli.records import summarize; "
        "render(summarize(network()), 'html'); "
        "print({'numpy', 'torch', 'rich', 'csv', 'junitparser', 'xml'} & set(sys.modules))"
    )
    command = [sys.executable, "-c", f"import sys; sys.path[:] = {sys.path!r}; {script}"]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "set()\n"
