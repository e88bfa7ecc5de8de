"""The layers' pictures, inside the page: drawn where the plans are known, once for layers that are equal."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from convcli.errors import SpecError
from convcli.report.html.element import Markup, element

if TYPE_CHECKING:
    from collections.abc import Iterable

    from convcli.pictures.scene import Scene
    from convcli.plan import Plan, Step

MOST_PICTURES = 32  # of a page, some 50 kB each


class Album:
    """Pictures by a layer's source and name; `plans` say what the layers are."""

    def __init__(self, plans: Iterable[Plan] = ()) -> None:
        self._steps: dict[tuple[str, str], tuple[Plan, Step]] = {}
        self._drawn: dict[object, tuple[str, str] | None] = {}  # the place and name of the layer that shows it
        unclear = set()
        for plan in plans:
            for step in plan.steps:
                key = plan.network.source, step.name
                _, same = self._steps.setdefault(key, (plan, step))
                if (same.layer, same.x) != (step.layer, step.x):
                    unclear.add(key)
        for key in unclear:  # two layers have the name, and nobody knows which one is meant
            del self._steps[key]

    @property
    def used(self) -> bool:
        """Whether there is a picture on the page."""
        return any(self._drawn.values())

    def picture(self, source: str, name: str, key: str) -> Markup | None:
        """The layer's picture, or a link to the one that shows the same; None for none. key: the id of its place."""
        if (source, name) not in self._steps:
            return None
        plan, step = self._steps[source, name]
        what = step.layer, step.x
        if what in self._drawn:
            there = self._drawn[what]
            if there is None:
                return None
            return element("p", "The picture is that of ", element("a", there[1], href=f"#{there[0]}"), ".")
        if sum(map(bool, self._drawn.values())) >= MOST_PICTURES:
            return element("p", f"No picture: a page has {MOST_PICTURES}. convcli draw --layer draws every one.")
        scene = _scene(plan, name)
        self._drawn[what] = (key, name) if scene else None
        return None if scene is None else _figure(scene)


def style() -> str:
    """The rules that pictures need."""
    from convcli.pictures.svg import style as rules

    return rules()


def _scene(plan: Plan, name: str) -> Scene | None:
    """The usual picture of a layer, None where it has none."""
    from convcli.pictures.choice import draw  # only for pages with pictures
    from convcli.pictures.scene import Film

    try:
        drawn = draw(plan, layer=name)
    except SpecError:
        return None
    return drawn.still() if isinstance(drawn, Film) else drawn


def _figure(scene: Scene) -> Markup:
    """The scene as SVG that the page's style paints; without its data, which is twice as large."""
    from convcli.pictures.svg import svg

    bare = msgspec.structs.replace(scene, marks=tuple([msgspec.structs.replace(m, data={}) for m in scene.marks]))
    drawing = Markup(svg(bare, styled=False).rstrip())
    return element("div", drawing, class_="scroll", role="group", aria_label=scene.title, tabindex="0")
