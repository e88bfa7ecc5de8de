"""What every picture is drawn as: SVG that any parser reads, PNG and GIF, text for a terminal."""

from __future__ import annotations

import io
import re
from itertools import product
from typing import Any
from unittest import mock
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st
from picture_elements import SVG, check, elements, frames, step_of
from PIL import Image

from convcli.errors import BackendMissing
from convcli.pictures.asked import Asked
from convcli.pictures.choice import picture_of
from convcli.pictures.compose import composed
from convcli.pictures.raster import FINE, gif, png, written
from convcli.pictures.roles import GROUND, INK, ROLES, Paint
from convcli.pictures.scene import Film, Rect, Scene, Text
from convcli.pictures.svg import svg
from convcli.pictures.terminal import blocks
from convcli.plan import Step

NASTY = [
    "<script>alert(1)</script>",
    "\"&'",
    "\x00\x1b[31m",
    "\ud800",
    "日本語" * 20,
    "a" * 300,
    "",
    "]]>",
    "e\u0301" * 9,
]
LAYERS = [
    ("Conv1d(3, 8, 3, padding=1)", (1, 3, 9)),
    ("Conv2d(3, 8, 3, stride=2, padding=1)", (1, 3, 8, 8)),
    ("Conv3d(3, 8, 3)", (1, 3, 4, 5, 6)),
    ("Conv2d(4, 8, 1)", (1, 4, 5, 5)),
    ("Conv2d(4, 8, 3, groups=2)", (1, 4, 5, 5)),
    ("SeparableConv2d(4, 8, 3)", (1, 4, 5, 5)),
    ("ConvTranspose1d(4, 8, 3, stride=2)", (1, 4, 5)),
    ("ConvTranspose2d(4, 8, 3, stride=2)", (1, 4, 5, 5)),
    ("ConvTranspose3d(4, 8, 3, stride=2)", (1, 4, 3, 3, 3)),
    ("DeformConv2d(4, 8, 3, offset_groups=2)", (1, 4, 7, 7)),
    ("DeformConv2dPack(4, 8, 3, modulated=True)", (1, 4, 7, 7)),
    ("MaxPool2d(3, stride=2, padding=1)", (1, 4, 9, 9)),
    ("AdaptiveAvgPool2d(3)", (1, 4, 8, 8)),
    ("Upsample(scale_factor=2, mode='bilinear')", (1, 4, 5, 5)),
]


def step(number: int, name: str = "layer") -> Step:
    return step_of(*LAYERS[number], name=name)


@pytest.mark.parametrize("number", range(len(LAYERS)), ids=[layer for layer, _ in LAYERS])
def test_every_kind_has_a_usual_picture_in_every_form(number: int) -> None:
    scene = picture_of(step(number))
    assert isinstance(scene, Scene)
    check(scene)
    root = elements(scene)
    assert (root.tag, root.get("role")) == (f"{SVG}svg", "img")
    assert root.findtext(f"{SVG}title") == scene.title != ""
    assert root.findtext(f"{SVG}desc") == scene.description != ""
    text = blocks(scene, width=80)
    assert text.startswith(f"{scene.title}\n")
    assert all(note in text for note in scene.notes)


@pytest.mark.parametrize("name", NASTY)
def test_names_are_text_and_nothing_overlaps(name: str) -> None:
    for number in (0, 1, 4, 7):
        scene = picture_of(step(number, name))
        check(scene)
        root = elements(scene)
        assert {one.tag for one in root.iter()} <= {f"{SVG}{tag}" for tag in TAGS}
        assert blocks(scene)  # type: ignore[arg-type]


TAGS = ("svg", "title", "desc", "style", "rect", "circle", "line", "text", "g")


NAMES = st.sampled_from(["row", "column", "label", "value"])


@given(st.text(max_size=40), st.dictionaries(NAMES, st.text(max_size=9)))
def test_any_text_and_data_make_an_svg(text: str, data: dict[str, Any]) -> None:
    scene = composed(text, [Rect(0, 0, 9, 9, "tap", data), Text(0, 30, text)], description=text)
    root = ET.fromstring(svg(scene))  # noqa: S314 - our own
    shown = [one.text or "" for one in root.iter(f"{SVG}text")]
    whole = re.sub("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "\ufffd", text)
    assert shown[-1] == whole.replace("\r\n", "\n").replace("\r", "\n")


def test_each_step_has_its_share_of_a_film_and_less_motion_is_respected() -> None:
    film = picture_of(step(1), None, Asked(animate=True))
    root = elements(film)
    style = root.findtext(f"{SVG}style") or ""
    assert f"animation:convcli-{16}-600 9.6s step-end infinite" in style
    assert "6.25%,100%{visibility:hidden}" in style
    assert style.index("prefers-reduced-motion:no-preference") < style.index("step-end")
    delays = [float(re.findall(r"-?[\d.]+", one.attrib["style"])[0]) % 9.6 for one in frames(root)]
    assert delays == pytest.approx([number * 0.6 for number in range(16)])


@pytest.mark.parametrize("theme", ["auto", "light", "dark"])
def test_themes(theme: str) -> None:
    style = elements_style(svg(picture_of(step(1)), theme=theme))
    assert ("prefers-color-scheme" in style) == (theme == "auto")
    light, dark = (f".ground{{fill:{paint.fill}}}" for paint in GROUND)
    assert (light in style.split("@media")[0]) == (theme != "dark")
    assert (dark in style) == (theme != "light")


def elements_style(text: str) -> str:
    return ET.fromstring(text).findtext(f"{SVG}style") or ""  # noqa: S314 - our own


def luminance(colour: str) -> float:
    """WCAG's relative luminance."""
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    dark, light = sorted(map(luminance, (one, other)))
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("theme", [0, 1])
def test_words_can_be_read_on_what_they_stand_on(theme: int) -> None:
    def paint(role: str) -> Paint:
        return (ROLES[role].light, ROLES[role].dark)[theme]

    for role in ("text", "heading", "panel", "label"):
        assert contrast(paint(role).fill, GROUND[theme].fill) >= 4.5, role
    for role in ("input", "output", "weight", "tap-padding", "tap-zero"):
        assert contrast(paint("text").fill, paint(role).fill) >= 4.5, role
    for role in ("tap", "written", *(f"group-{number}" for number in range(1, 7))):
        assert contrast(INK, paint(role).fill) >= 4.5, role
    for role in ("tap", "tap-padding", "tap-zero", "point", "link", "regular", "padding", "axis"):
        assert (
            contrast(paint(role).stroke, GROUND[theme].fill) >= 3 or contrast(paint(role).fill, GROUND[theme].fill) >= 2
        )


@pytest.mark.parametrize("width", [20, 50, 80, 200])
@pytest.mark.parametrize("plain", [False, True])
def test_a_terminal_shows_every_cell_with_a_letter_of_its_own(width: int, plain: bool) -> None:
    scene = picture_of(step(1), None, Asked(cell=(1, 2)))
    assert isinstance(scene, Scene)
    text = blocks(scene, width=width, plain=plain)
    assert "\x1b" not in text
    assert text.isascii() == plain
    cells = text.split("the output cell")[0].split("\n\n", 1)[1].rsplit("\n\n", 1)[0]  # without captions and legend
    letters = 2 if width >= 20 else 1
    assert cells.count("#" if plain else "\N{FULL BLOCK}") == (10 if plain else 10 * letters)
    longest = max(map(len, cells.splitlines()))
    assert longest <= width


def test_colours_are_for_terminals_alone_and_change_no_letter() -> None:
    scene = picture_of(step(1))
    assert isinstance(scene, Scene)
    coloured, text = blocks(scene, color=True), blocks(scene)
    without = re.sub("\x1b\\[[0-9;]*m", "", coloured)
    assert [line.rstrip() for line in without.splitlines()] == text.splitlines() != coloured.splitlines()


def bars() -> Scene:
    data = {"conv1": ("118 MMACs", 1.0), "conv2": ("59.0 MMACs", 0.5), "a": ("0", 0.0)}
    marks = [
        Rect(0, 30 * y, 200 * share, 20, "bar", {"panel": "MACs", "label": label, "value": value, "share": share})
        for y, (label, (value, share)) in enumerate(data.items())
    ]
    return composed("costs", marks, description="three bars")


def test_bars_are_lines_as_long_as_their_share() -> None:
    lines = blocks(bars(), width=60, plain=True).splitlines()[-3:]
    assert [line.count("#") for line in lines] == [41, 20, 0]
    assert [line.split()[0] for line in lines] == ["conv1", "conv2", "a"]
    assert all(len(line) <= 60 for line in lines)
    assert lines[1].endswith("59.0 MMACs")


def test_png_has_the_colours_of_its_roles() -> None:
    scene = picture_of(step(1), None, Asked(cell=(1, 2)))
    assert isinstance(scene, Scene)
    for theme, scale in product(("light", "dark"), (1, 2)):
        image = Image.open(io.BytesIO(png(scene, scale=scale, theme=theme))).convert("RGB")
        assert image.size == pytest.approx((scene.width * scale, scene.height * scale), abs=2)
        for mark in scene.marks:
            if isinstance(mark, Rect) and mark.role in {"tap", "written", "padding"} and "row" in mark.data:
                paint = ROLES[mark.role].dark if theme == "dark" else ROLES[mark.role].light
                place = (round((mark.x + 5) * scale), round((mark.y + 5) * scale))
                assert "#{:02x}{:02x}{:02x}".format(*image.getpixel(place)) == paint.fill


def test_gif_has_a_frame_for_each_step() -> None:
    film = picture_of(step(1), None, Asked(animate=True))
    assert isinstance(film, Film)
    image = Image.open(io.BytesIO(gif(film)))
    assert (image.n_frames, image.info["duration"], image.info["loop"]) == (16, 600, 0)
    seen = set()
    for number in range(16):
        image.seek(number)
        seen.add(image.convert("RGB").tobytes())
    assert len(seen) == 16


def test_huge_scenes_are_drawn_smaller() -> None:
    scene = composed("wide", [Rect(0, 0, 5_000, 300, "tap")], description="")
    with mock.patch("convcli.pictures.raster.LARGEST", 1_000_000):
        image = Image.open(io.BytesIO(png(scene)))
    assert image.width * image.height == pytest.approx(1_000_000 / FINE**2, rel=0.1)


def test_letters_that_pillows_font_lacks() -> None:
    assert written("caf\u00e9 \u2192 \u65e5\x1b") == "cafe ? ??"


def test_without_pillow_the_line_that_installs_it_is_told() -> None:
    scene = picture_of(step(1))
    assert isinstance(scene, Scene)
    with mock.patch.dict("sys.modules", {"PIL": None}), pytest.raises(BackendMissing, match="pip install"):
        png(scene)
    with mock.patch.dict("sys.modules", {"PIL": None}), pytest.raises(BackendMissing, match="pip install"):
        gif(Film(scene, ((),)))
