"""How wide text is, at the most: whoever draws it has a font of their own, and nothing may be cut off or overlap."""

from __future__ import annotations

from unicodedata import combining, east_asian_width

# Advance widths in em, of the widest common fonts (Verdana, DejaVu Sans); a test holds Pillow's own font against them.
NARROW, SMALL, LARGE, WIDE = 0.47, 0.66, 0.80, 1.08
_WIDTHS = {
    **dict.fromkeys(" ijlIfrt.,:;'|!()[]/\\-\"`", NARROW),
    **dict.fromkeys("mwMW%@", WIDE),
    **dict.fromkeys("+=<>~^#_&?*$CDGHNOQU", 0.86),
}
BOLD = 1.12
ASCENT, DESCENT = 0.95, 0.28  # above and below the baseline, in em
LEADING = 1.4  # from one baseline to the next, in em


def width(text: str, size: float, *, bold: bool = False) -> float:
    """Pixels that `text` takes at the most, in letters of `size` pixels."""
    return sum(map(_em, text)) * size * (BOLD if bold else 1)


def wrapped(text: str, size: float, room: float, *, bold: bool = False) -> list[str]:
    """`text` as lines no wider than `room`, broken between words, and inside a word that is too long for a line."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".lstrip()
        if width(longer, size, bold=bold) <= room:
            lines[-1] = longer
            continue
        pieces = _pieces(word, size, room, bold=bold)
        lines += pieces if lines[-1] else []
        if not lines[0]:
            lines = pieces
    return lines


def _pieces(word: str, size: float, room: float, *, bold: bool) -> list[str]:
    pieces = [""]
    for letter in word:
        if pieces[-1] and width(pieces[-1] + letter, size, bold=bold) > room:
            pieces.append("")
        pieces[-1] += letter
    return pieces


def _em(letter: str) -> float:
    if letter in _WIDTHS:
        return _WIDTHS[letter]
    if letter.isascii():
        return LARGE if letter.isupper() else SMALL
    return 0 if combining(letter) else WIDE if east_asian_width(letter) in "WF" else 1.0
