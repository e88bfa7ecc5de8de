"""The HTML report in a real browser: nothing loaded, nothing complained of, sorted and read by the keyboard alone.

Where no browser is installed these tests skip, unless CONVCLI_BROWSER_TESTS is "required".
"""

from __future__ import annotations

import json
import os
import re
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from devtools import Browser, browser_path
from report_samples import NASTY, benches, conv, diffs, entry, gates, huge, many, named, outcomes, report, seen

from convcli.plan import Network, plan
from convcli.report import render

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from convcli.report import Record

pytestmark = pytest.mark.browser

PICTURED = ("a", "b", "<script>alert(1)</script>")
RECORDS: dict[str, Callable[[], Record]] = {
    "pictures": lambda: named(PICTURED),
    "summary": lambda: report("summary"),
    "flops": lambda: report("flops", "a.yaml", "b.yaml", backward=True),
    "verify": outcomes,
    "bench": benches,
    "check": gates,
    "diff": diffs,
    "receptive-field": seen,
    "nasty": lambda: named(NASTY),
    "huge": huge,
}
COMPLAINTS = {"Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded", "Page.javascriptDialogOpening"}
TAB, ENTER, SPACE = ("Tab", 9), ("Enter", 13, "\r"), (" ", 32, " ")


class Shown:
    """Opens records as files in the browser."""

    def __init__(self, browser: Browser, folder: Path) -> None:
        self.browser = browser
        self.folder = folder

    def __call__(self, name: str, width: int = 1280, *, dark: bool = False, scripts: bool = True) -> Browser:
        file = self.folder / f"{name}.html"
        drawn = Network([entry(one, "Conv2d", conv()) for one in PICTURED], source="net.yaml", input=(1, 8, 6, 5))
        if not file.exists():
            plans = [plan(drawn)] if name == "pictures" else []
            file.write_text(render(RECORDS[name](), "html", plans))
        self.browser.window(width, dark=dark, scripts=scripts)
        self.browser.open(file.as_uri())
        return self.browser


def required() -> bool:
    """Whether to skip is to fail."""
    return os.environ.get("CONVCLI_BROWSER_TESTS") == "required"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    path = browser_path()
    if path is None:
        words = "no browser is installed (chromium, google-chrome, or CONVCLI_BROWSER=path)"
        (pytest.fail if required() else pytest.skip)(words)
    started = Browser(path, tmp_path_factory.mktemp("profile"))
    yield started
    started.close()


@pytest.fixture
def shown(browser: Browser, tmp_path: Path) -> Shown:
    return Shown(browser, tmp_path)


def first_column(browser: Browser) -> list[str]:
    """The names in the first table, in the order that is seen."""
    found: list[str] = browser.run("[...document.querySelector('tbody').rows].map(row => row.cells[0].textContent)")
    return found


def focused(browser: Browser) -> str:
    found: str = browser.run("document.activeElement.tagName + ' ' + document.activeElement.textContent.slice(0, 40)")
    return found


@pytest.mark.parametrize("name", RECORDS)
def test_nothing_is_loaded_and_nothing_complained_of(shown: Shown, name: str) -> None:
    browser = shown(name)
    browser.run("document.querySelectorAll('details').forEach(fold => { fold.open = true; })")
    browser.run("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    complaints = [event for event in browser.events if event.get("method") in COMPLAINTS]
    assert complaints == []
    asked = [e["params"]["request"]["url"] for e in browser.events if e.get("method") == "Network.requestWillBeSent"]
    assert [url[:8] for url in asked if not url.startswith("data:")] == ["file:///"]


@pytest.mark.parametrize("width", [320, 768, 1600])
@pytest.mark.parametrize("name", RECORDS)
def test_nothing_is_wider_than_the_window(shown: Shown, name: str, width: int) -> None:
    """Tables and pictures scroll in boxes of their own; of what stands outside, all lies in the window."""
    browser = shown(name, width)
    browser.run("document.querySelectorAll('details').forEach(fold => { fold.open = true; })")
    assert browser.run("document.documentElement.scrollWidth") == width
    outside = browser.run(
        "[...document.querySelectorAll('body *')]"
        ".filter(one => !one.closest('.scroll > *, .skip, .hidden, script') && "
        f"one.getBoundingClientRect().right > {width}).map(one => one.outerHTML.slice(0, 80))"
    )
    assert outside == []


@pytest.mark.parametrize("name", ["summary", "verify"])
def test_text_can_be_told_from_its_ground(shown: Shown, name: str) -> None:
    """Contrast of 4.5 to 1 (WCAG 2, AA) for every text, in the light and in the dark."""
    for dark in (False, True):
        browser = shown(name, dark=dark)
        browser.run("document.querySelectorAll('details').forEach(fold => { fold.open = true; })")
        assert browser.run(f"({CONTRASTS})()") == []
        ground = browser.run("getComputedStyle(document.body).backgroundColor")
        assert (sum(map(int, re.findall(r"\d+", ground)[:3])) < 200) == dark


CONTRASTS = """() => {
  const levels = (color) => color.match(/[\\d.]+/g).map(Number);
  const light = (color) => levels(color).slice(0, 3).map((c) => c / 255)
    .map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
    .reduce((sum, c, place) => sum + c * [0.2126, 0.7152, 0.0722][place], 0);
  const ground = (one) => {
    for (let above = one; above; above = above.parentElement) {
      const color = getComputedStyle(above).backgroundColor;
      if (levels(color)[3] !== 0) return color;
    }
  };
  const poor = [];
  for (const one of document.querySelectorAll("body *")) {
    if (![...one.childNodes].some((node) => node.nodeType === 3 && node.data.trim())) continue;
    if (one.closest("script")) continue;
    const pair = [light(getComputedStyle(one).color), light(ground(one))].sort((a, b) => b - a);
    const ratio = (pair[0] + 0.05) / (pair[1] + 0.05);
    if (!(ratio >= 4.5)) poor.push([one.outerHTML.slice(0, 60), ratio]);
  }
  return poor;
}"""


def test_the_keyboard_alone_sorts(shown: Shown) -> None:
    browser = shown("summary")
    before = first_column(browser)
    assert [name for name in before if "wise" not in name and "_conv" not in name] == [
        "conv1",
        "block.sep",
        "up",
        "dcn",
    ]
    macs = "document.querySelectorAll('thead th')[4]"
    browser.run(f"{macs}.querySelector('button').focus()")
    assert focused(browser) == "BUTTON macs"
    by_macs = ["dcn", "offset_conv", "deform_conv", "conv1", "up", "block.sep", "depthwise", "pointwise"]
    by_fewest = ["block.sep", "depthwise", "pointwise", "up", "conv1", "dcn", "offset_conv", "deform_conv"]
    for key, order, names in (
        (ENTER, "descending", by_macs),
        (SPACE, "ascending", by_fewest),
        (ENTER, "none", before),
    ):
        browser.press(*key)
        assert first_column(browser) == names
        assert browser.run(f"{macs}.getAttribute('aria-sort')") == order
        assert focused(browser) == "BUTTON macs"
    assert browser.run("document.querySelector('[role=status]').textContent") == "in the report's own order"
    browser.run("document.querySelector('thead button').click()")
    assert first_column(browser)[0] == "block.sep"
    assert browser.run("[...document.querySelectorAll('thead th')].map(title => title.getAttribute('aria-sort'))") == [
        "ascending",
        *["none"] * 7,
    ]
    assert browser.run("document.querySelector('tfoot').textContent").startswith("total")


def test_what_is_empty_sorts_last_and_words_sort_as_words(shown: Shown) -> None:
    browser = shown("bench")
    title = "document.querySelectorAll('thead button')[5]"
    browser.run(f"{title}.click()")
    assert first_column(browser) == ["conv1", "a|b", "dead", "big"]
    browser.run("document.querySelectorAll('thead button')[4].click()")
    browser.run("document.querySelectorAll('thead button')[4].click()")
    assert first_column(browser) == ["a|b", "conv1", "dead", "big"]


def test_tab_goes_through_the_page_in_its_order_and_skips_to_the_numbers(shown: Shown) -> None:
    browser = shown("verify")
    browser.press(*TAB)
    assert focused(browser) == "A Skip to the numbers"
    assert browser.run("document.activeElement.getBoundingClientRect().left") >= 0
    browser.press(*ENTER)
    assert browser.run("location.hash") == "#main"
    tops = []
    for _ in range(12):
        browser.press(*TAB)
        assert browser.run("getComputedStyle(document.activeElement).outlineStyle") != "none"
        tops.append(browser.run("document.activeElement.getBoundingClientRect().top + scrollY"))
    assert tops == sorted(tops)
    assert focused(browser).startswith("A ")  # the first layer's name, after the region and its titles


def test_a_link_to_a_layer_opens_its_fold(shown: Shown) -> None:
    browser = shown("summary")
    browser.run("document.querySelector('tbody a').focus()")
    browser.press(*ENTER)
    browser.run("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    assert browser.run("document.querySelector('details').open") is True
    assert browser.run("document.querySelectorAll('details')[1].open") is False


def accessible(browser: Browser) -> list[tuple[str, str, dict[str, Any]]]:
    """(role, name, properties) of what a screen reader is told."""
    nodes = browser.ask("Accessibility.getFullAXTree")["nodes"]
    return [
        (
            node["role"]["value"],
            node.get("name", {}).get("value", ""),
            {one["name"]: one["value"].get("value") for one in node.get("properties", ())},
        )
        for node in nodes
        if not node.get("ignored")
    ]


def test_a_screen_reader_is_told_everything(shown: Shown) -> None:
    browser = shown("verify")
    tree = accessible(browser)
    roles = [role for role, _, _ in tree]
    assert [roles.count(landmark) for landmark in ("banner", "main", "contentinfo", "navigation")] == [1, 1, 1, 1]
    for role in ("button", "link", "table", "region", "heading", "columnheader", "rowheader"):
        names = [name for kind, name, _ in tree if kind == role]
        assert names, role
        assert all(names), role
    assert ("group", "Layers: 8 layers") in [(role, name) for role, name, _ in tree]
    regions = [name for role, name, _ in tree if role == "region"]
    assert len(regions) == len(set(regions))
    levels = [properties["level"] for role, _, properties in tree if role == "heading"]
    assert levels[0] == 1
    assert set(levels) == {1, 2, 3}
    assert ("rowheader", "conv2") in [(role, name) for role, name, _ in tree]
    cells = [name for role, name, _ in tree if role in {"cell", "gridcell"}]
    assert "timed out" in cells  # the word, without the sign beside it
    assert "Skip to the numbers" in [name for role, name, _ in tree if role == "link"]


@pytest.mark.parametrize("name", RECORDS)
def test_axe_finds_nothing(shown: Shown, name: str) -> None:
    """Deque's axe, with all of its rules up to WCAG 2.2 AA and its best practices; all folds open."""
    found = find_spec("axe_playwright_python")
    if found is None or found.origin is None:
        if required():
            pytest.fail("pip install --no-deps axe-playwright-python")
        pytest.skip("axe-playwright-python, which brings axe.min.js, is not installed")
    axe = (Path(found.origin).parent / "axe.min.js").read_text("utf-8")
    for dark in (False, True):
        browser = shown(name, dark=dark)
        browser.run("document.querySelectorAll('details').forEach(fold => { fold.open = true; })")
        browser.run(f"{axe};0")
        told = "[found.passes.length, found.violations.map(rule => [rule.id, rule.nodes.map(node => node.html)])]"
        passes, violations = browser.run(f"axe.run().then(found => {told})")
        assert violations == []
        assert passes > 20


def test_without_scripts_the_page_says_the_same(shown: Shown) -> None:
    browser = shown("verify")
    browser.run("document.querySelectorAll('button.all').forEach(button => button.remove())")
    with_scripts = browser.run("document.querySelector('main').textContent")
    browser = shown("verify", scripts=False)
    root = browser.ask("DOM.getDocument", depth=0)["root"]["nodeId"]
    main = browser.ask("DOM.querySelector", nodeId=root, selector="main")["nodeId"]
    markup = browser.ask("DOM.getOuterHTML", nodeId=main)["outerHTML"]
    assert "<button" not in markup
    bare = json.dumps(with_scripts)
    browser.window(1280)
    assert browser.run(
        f"new DOMParser().parseFromString({json.dumps(markup)}, 'text/html').body.textContent === {bare}"
    )


def test_folds_open_and_close_together(shown: Shown) -> None:
    browser = shown("verify")
    count = len(outcomes().layers)
    for word, open_after in (("Open all", count), ("Close all", 0)):
        assert browser.run("document.querySelector('button.all').textContent") == word
        browser.run("document.querySelector('button.all').focus()")
        browser.press(*ENTER)
        assert browser.run("document.querySelectorAll('details[open]').length") == open_after


def test_on_paper_is_what_was_open_and_no_table_is_cut_off(shown: Shown) -> None:
    for name in ("summary", "verify", "bench"):
        browser = shown(name, 718)  # A4 between its margins
        browser.run("document.querySelectorAll('details').forEach((fold, place) => { fold.open = place == 1; })")
        browser.ask("Emulation.setEmulatedMedia", media="print")
        assert browser.run("getComputedStyle(document.querySelector('nav')).display") == "none"
        assert browser.run("[...document.querySelectorAll('details')].findIndex(fold => fold.open)") in {1, -1}
        assert browser.run("Math.max(...[...document.querySelectorAll('table')].map(t => t.scrollWidth))") <= 718
        browser.ask("Emulation.setEmulatedMedia", media="")


def test_ten_thousand_layers_open_and_sort(browser: Browser, tmp_path: Path) -> None:
    file = tmp_path / "many.html"
    file.write_text(render(many(10_000), "html"))
    browser.window(1280)
    browser.open(file.as_uri())
    assert browser.run("document.querySelectorAll('tbody tr').length") == 10_000
    started = browser.script_seconds()
    for _ in range(2):  # the second time every row moves
        browser.run("document.querySelector('thead button').click()")
    assert first_column(browser)[:2] == ["conv9999", "conv9998"]
    assert browser.script_seconds() - started < 3  # it takes 0.3; rows that move one by one took 11
