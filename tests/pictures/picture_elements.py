"""What an SVG holds, by its own elements, and what must be so in every picture."""

from __future__ import annotations

from collections import Counter
from itertools import combinations
from xml.etree import ElementTree as ET

from convcli import parse
from convcli.layers import Layer
from convcli.pictures.roles import ROLES
from convcli.pictures.scene import Film, Scene, Text, hull
from convcli.pictures.svg import svg
from convcli.plan import Entry, Network, Step, plan

SVG = "{http://www.w3.org/2000/svg}"
Cell = tuple[int, ...]


def step_of(layer: Layer | str, shape: tuple[int, ...], name: str = "layer") -> Step:
    """A layer at its place in a network of its own."""
    made = parse(layer) if isinstance(layer, str) else layer
    return plan(Network([Entry(name, type(made).__name__, lambda _: made)], input=shape)).steps[0]


def elements(picture: Scene | Film) -> ET.Element:
    """The SVG, read by a parser that knows nothing of us."""
    return ET.fromstring(svg(picture))  # noqa: S314 - our own


def rects(root: ET.Element, role: str | None, panel: str | None = None) -> list[ET.Element]:
    """The cells of a role, or of any, in panels whose name begins so."""
    return [
        one
        for one in root.iter(f"{SVG}rect")
        if (role in {None, one.get("class")} and one.get("data-row") is not None)
        and (panel is None or (one.get("data-panel") or "").startswith(panel))
    ]


def cells(root: ET.Element, role: str, panel: str | None = None) -> list[Cell]:
    """(row, column), or (slice, row, column), of every cell of a role."""
    found = []
    for one in rects(root, role, panel):
        keys = (["data-depth"] if one.get("data-depth") else []) + ["data-row", "data-column"]
        found.append(tuple(int(one.attrib[key]) for key in keys))
    return found


def circles(root: ET.Element) -> list[ET.Element]:
    """The points, apart from the legend's."""
    return [one for one in root.iter(f"{SVG}circle") if one.get("data-row")]


def lines(root: ET.Element) -> list[ET.Element]:
    """The lines between blocks."""
    return [one for one in root.iter(f"{SVG}line") if one.get("data-from")]


def frames(root: ET.Element) -> list[ET.Element]:
    """The steps of a film."""
    return [group for group in root.iter(f"{SVG}g") if group.get("class") == "frame"]


def is_part(film: Film) -> bool:
    """Whether it says that a map is not drawn as a whole; flat maps of up to 40 cells always are."""
    return any("a part of the" in note for note in film.base.notes)


def check(picture: Scene | Film) -> None:
    """Every text lies in the picture, no two on one another, at any step; every role is known."""
    film = picture if isinstance(picture, Film) else Film(picture, ((),))
    for number in range(len(film.frames)):
        scene = film.still(number)
        left, top, right, bottom = hull(scene.marks)
        assert left >= 0
        assert top >= 0
        assert right <= scene.width
        assert bottom <= scene.height
        boxes = [mark.box for mark in scene.marks if isinstance(mark, Text)]
        for one, other in combinations(boxes, 2):
            apart = one[2] <= other[0] or other[2] <= one[0] or one[3] <= other[1] or other[3] <= one[1]
            assert apart, (one, other)
        assert not {mark.role for mark in scene.marks} - set(ROLES)
        assert not [cell for cell, count in Counter(_written(scene)).items() if count > 1]


def _written(scene: Scene) -> list[object]:
    return [mark.data.get("panel") for mark in scene.marks if isinstance(mark, Text) and mark.role == "panel"]
