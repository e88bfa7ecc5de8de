"""How each role looks: on light and on dark ground, and as a letter.

Colours are those of Okabe and Ito, which the colour-blind tell apart; roles never differ by their colour alone.
"""

from __future__ import annotations

import msgspec

ORANGE, SKY, GREEN, YELLOW, BLUE, VERMILLION, PURPLE = (
    "#e69f00",
    "#56b4e9",
    "#009e73",
    "#f0e442",
    "#0072b2",
    "#d55e00",
    "#cc79a7",
)
GROUPS = (ORANGE, SKY, GREEN, YELLOW, PURPLE, VERMILLION)  # all of which black letters can be read on


class Paint(msgspec.Struct, frozen=True):
    """Inside and outline; "none" is not drawn."""

    fill: str
    stroke: str = "none"


class Role(msgspec.Struct, frozen=True):
    """Paint on light and on dark ground, width and dashes of the outline; letters, with Unicode and in ASCII."""

    light: Paint
    dark: Paint
    line: float = 1.0
    dashed: bool = False
    glyph: str = " "
    plain: str = " "


def _both(fill: str, stroke: str = "none") -> tuple[Paint, Paint]:
    return Paint(fill, stroke), Paint(fill, stroke)


GROUND = Paint("#ffffff"), Paint("#15191e")
INK = "#111111"  # on anything that is coloured
HEAT = ("#fff0c8", "#fdd28a", "#fba94f", "#e8852e", "#a34606", "#6b2500")  # of one hue, each darker than the last
HEAT_ON_DARK = ("#43300f", "#6b430c", "#8f5a12", "#d98a2b", "#f5bd6b", "#ffebc0")
ROLES: dict[str, Role] = {
    "ground": Role(*GROUND),
    "input": Role(Paint("#d6e8f5", "#7f9fb5"), Paint("#22394b", "#577188"), glyph="\N{LIGHT SHADE}", plain="."),
    "padding": Role(
        Paint("#ffffff", "#8a8a8a"), Paint("#15191e", "#8f8f8f"), dashed=True, glyph="\N{MIDDLE DOT}", plain="-"
    ),
    "zero": Role(Paint("#f1f1f1", "#b5b5b5"), Paint("#23272c", "#50565d"), dashed=True, glyph="0", plain="0"),
    "tap": Role(*_both(ORANGE, "#a33c00"), 2.5, glyph="\N{FULL BLOCK}", plain="#"),
    "tap-padding": Role(
        Paint("#ffffff", "#a33c00"), Paint("#15191e", "#ffb84d"), 2.5, dashed=True, glyph="\N{DARK SHADE}", plain="+"
    ),
    "tap-zero": Role(
        Paint("#e3e0da", "#a33c00"), Paint("#3a3d40", "#ffb84d"), 2.5, glyph="\N{MEDIUM SHADE}", plain="x"
    ),
    "read": Role(Paint("#fae3b4", "#a37d2c"), Paint("#4d3a12", "#a37d2c"), glyph="\N{MEDIUM SHADE}", plain="x"),
    "output": Role(Paint("#d9efe8", "#7fa99b"), Paint("#1d3f35", "#4d7d6f"), glyph="\N{LIGHT SHADE}", plain="."),
    "written": Role(*_both(GREEN, "#00513b"), 2.5, glyph="\N{FULL BLOCK}", plain="#"),
    "weight": Role(Paint("#f6e3c1", "#a37d2c"), Paint("#4d3a12", "#a37d2c"), glyph="w", plain="w"),
    "point": Role(Paint(VERMILLION, INK), Paint(VERMILLION, "#ffffff"), line=1.5, glyph="o", plain="o"),
    "point-outside": Role(Paint("#ffffff", VERMILLION), Paint("#15191e", VERMILLION), 1.5, glyph="O", plain="O"),
    "regular": Role(Paint("none", "#333333"), Paint("none", "#dddddd"), line=1.5, dashed=True, glyph="+", plain="+"),
    "box": Role(Paint("none", BLUE), Paint("none", SKY), 3.0),
    "bin": Role(Paint("none", "#333333"), Paint("none", "#dddddd"), 1.0, dashed=True),
    "moved": Role(Paint("none", "#a33c00"), Paint("none", "#ffb84d"), 2.5),
    "shift": Role(Paint("none", "#333333"), Paint("none", "#dddddd"), line=1.5),
    "link": Role(Paint("none", "#8a8a8a"), Paint("none", "#8f8f8f"), line=1.0),
    "bar": Role(Paint(BLUE, "#004b76"), Paint(SKY, "#9fd4f2"), glyph="\N{FULL BLOCK}", plain="#"),
    "bar-2": Role(*_both(ORANGE, "#8a5f00"), glyph="\N{FULL BLOCK}", plain="#"),
    "bar-3": Role(*_both(GREEN, "#00513b"), glyph="\N{FULL BLOCK}", plain="#"),
    "hole": Role(Paint("#ffffff", "#8a8a8a"), Paint("#15191e", "#8f8f8f"), glyph="o", plain="o"),
    **{
        f"heat-{i + 1}": Role(
            Paint(light, GROUND[0].fill), Paint(dark, GROUND[1].fill), glyph="abcdef"[i], plain="abcdef"[i]
        )
        for i, (light, dark) in enumerate(zip(HEAT, HEAT_ON_DARK, strict=True))
    },
    **{
        f"ink-{i}": Role(Paint(INK if i <= 4 else "#ffffff"), Paint("#ffffff" if i <= 3 else INK))
        for i in range(1, len(HEAT) + 1)
    },
    "axis": Role(Paint("none", "#767676"), Paint("none", "#8f8f8f")),
    "text": Role(Paint("#1b1b1b"), Paint("#ececec")),
    "heading": Role(Paint("#1b1b1b"), Paint("#ececec")),
    "panel": Role(Paint("#1b1b1b"), Paint("#ececec")),
    "label": Role(Paint("#595959"), Paint("#b4b4b4")),
    "ink": Role(*_both(INK)),
    **{f"group-{i + 1}": Role(*_both(colour, INK), glyph=f"{i}", plain=f"{i}") for i, colour in enumerate(GROUPS)},
    **{
        f"link-{i + 1}": Role(Paint("none", light), Paint("none", colour), line=1.5)
        for i, (colour, light) in enumerate(
            zip(GROUPS, (ORANGE, SKY, GREEN, "#b5a900", PURPLE, VERMILLION), strict=True)
        )
    },
}


def of_group(number: int, kind: str = "group") -> str:
    """The role of group `number`, from 0; there are six, which take turns. kind: group, or link for lines."""
    return f"{kind}-{number % len(GROUPS) + 1}"
