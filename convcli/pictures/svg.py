"""A Scene or a Film as one SVG file that needs nothing else: roles are classes, and the reader's light or dark decides.

Films are CSS animations: they stand still for whoever asks for less motion, and while the pointer is over them.
"""

from __future__ import annotations

import re
from collections.abc import Collection

from convcli.errors import SpecError
from convcli.pictures.roles import ROLES, Paint
from convcli.pictures.scene import BOLD, Circle, Data, Film, Line, Mark, Rect, Scene, Text

FONT = "system-ui,-apple-system,'Segoe UI','Helvetica Neue',Arial,sans-serif"
THEMES = ("auto", "light", "dark")
_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def svg(picture: Scene | Film, *, theme: str = "auto", styled: bool = True) -> str:
    """The picture as an SVG document. theme: auto follows the reader's. styled: False leaves `style` to the page."""
    film = picture if isinstance(picture, Film) else Film(picture, ())
    base = film.base
    width, height = _number(base.width), _number(base.height)
    size = f'width="{width}" height="{height}" viewBox="0 0 {width} {height}"'
    moving = len(film.frames) > 1
    classes = f"convcli {_class_of(film)}" if moving else "convcli"
    used = {"ground", *(mark.role for frame in (base.marks, *film.frames) for mark in frame)}
    rules = (style(theme, used) if styled else "") + (_moving(film) if moving else "")
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" class="{classes}" role="img" {size} font-family="{FONT}">',
        f"<title>{_escaped(base.title)}</title>",
        f"<desc>{_escaped(base.description)}</desc>",
        *([f"<style>{rules}</style>"] if rules else []),
        f'<rect class="ground" width="{width}" height="{height}"/>',
        *map(_element, base.marks),
    ]
    for number, frame in enumerate(film.frames):
        lines.append(f'<g class="frame" data-step="{number}"{_delay(film, number) if moving else ""}>')
        lines += map(_element, frame)
        lines.append("</g>")
    return "\n".join([*lines, "</svg>"]) + "\n"


def style(theme: str = "auto", used: Collection[str] = ROLES) -> str:
    """The rules of roles, of all unless `used` says which, for pictures inside an element of the class `convcli`."""
    if theme not in THEMES:
        raise SpecError(f"--theme {theme} is not known", allowed=", ".join(THEMES))
    roles = {name: role for name, role in ROLES.items() if name in used}
    light = "".join(_rule(name, role.light) for name, role in roles.items())
    dark = "".join(_rule(name, role.dark) for name, role in roles.items() if theme == "dark" or role.dark != role.light)
    shared = "".join(
        f".convcli .{name}{{stroke-width:{_number(role.line)}{';stroke-dasharray:3 2' if role.dashed else ''}}}"
        for name, role in roles.items()
        if role.dashed or role.line != 1
    )
    bold = "".join(f".convcli .{name}{{font-weight:bold}}" for name in roles if name in BOLD)
    if theme == "dark":
        return dark + shared + bold
    return light + shared + bold + ("" if theme == "light" else f"@media(prefers-color-scheme:dark){{{dark}}}")


def _rule(name: str, paint: Paint) -> str:
    return f".convcli .{name}{{fill:{paint.fill}{'' if paint.stroke == 'none' else f';stroke:{paint.stroke}'}}}"


def _moving(film: Film) -> str:
    """Each frame is seen for its share of the film; without animations, or where less motion is wanted, the first."""
    name, seconds = _class_of(film), _number(len(film.frames) * film.seconds)
    return (
        f"@keyframes {name}{{0%{{visibility:visible}}{100 / len(film.frames):.5g}%,100%{{visibility:hidden}}}}"
        f".{name} .frame{{visibility:hidden}}.{name} .frame[data-step='0']{{visibility:visible}}"
        "@media(prefers-reduced-motion:no-preference){"
        f".{name} .frame,.{name} .frame[data-step='0']{{animation:{name} {seconds}s step-end infinite}}"
        f".{name}:hover .frame{{animation-play-state:paused}}}}"
    )


def _class_of(film: Film) -> str:
    """The films of a page have rules of their own, unless they are equally long."""
    return f"convcli-{len(film.frames)}-{round(film.seconds * 1000)}"


def _delay(film: Film, number: int) -> str:
    total = len(film.frames) * film.seconds
    return f' style="animation-delay:{_number((number * film.seconds - total) if number else 0)}s"'


def _element(mark: Mark) -> str:
    told = _attributes(mark.data)
    if isinstance(mark, Rect):
        place = (
            f'x="{_number(mark.x)}" y="{_number(mark.y)}" width="{_number(mark.width)}" height="{_number(mark.height)}"'
        )
        return f'<rect class="{mark.role}" {place}{_opacity(mark.opacity)}{told}{_closed(mark.data)}'
    if isinstance(mark, Circle):
        place = f'cx="{_number(mark.x)}" cy="{_number(mark.y)}" r="{_number(mark.radius)}"'
        return f'<circle class="{mark.role}" {place}{_opacity(mark.opacity)}{told}/>'
    if isinstance(mark, Line):
        place = f'x1="{_number(mark.x)}" y1="{_number(mark.y)}" x2="{_number(mark.to_x)}" y2="{_number(mark.to_y)}"'
        return f'<line class="{mark.role}" {place}{told}/>'
    return _text(mark, told)


def _text(mark: Text, told: str) -> str:
    anchor = "" if mark.anchor == "start" else f' text-anchor="{mark.anchor}"'
    place = f'x="{_number(mark.x)}" y="{_number(mark.y)}" font-size="{_number(mark.size)}"{anchor}'
    return f'<text class="{mark.role}" {place}{told}>{_escaped(mark.text)}</text>'


def _opacity(opacity: float) -> str:
    return "" if opacity == 1 else f' fill-opacity="{_number(opacity)}"'


def _attributes(data: Data) -> str:
    return "".join([f' data-{name}="{_escaped(str(value))}"' for name, value in data.items() if name != "title"])


def _closed(data: Data) -> str:
    """The end of a box: with its title inside, which readers show where the pointer is."""
    return f"><title>{_escaped(str(data['title']))}</title></rect>" if "title" in data else "/>"


def _number(value: float) -> str:
    """At most two digits behind the point."""
    return f"{value:.2f}".rstrip("0").rstrip(".") if value != int(value) else str(int(value))


def _escaped(text: str) -> str:
    """Text for XML, which has no control characters."""
    safe = _NOT_XML.sub("\ufffd", text)
    for letter, entity in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ('"', "&quot;")):
        safe = safe.replace(letter, entity)
    return safe
