"""`draw`: a picture of a layer or of a network, on the terminal or in files."""

import os
import shutil
import sys
from pathlib import PurePath
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from convcli.cli.field import cell_of
from convcli.cli.options import LayerFlags, takes
from convcli.cli.output import draws
from convcli.cli.sources import plans_of
from convcli.errors import SpecError

if TYPE_CHECKING:
    from convcli.pictures.scene import Film, Scene

ENDINGS = (".svg", ".png", ".gif", ".txt")
GIF_FRAMES = 100  # a GIF keeps every frame as an image
PICTURE = "Picture"


class PictureFlags(msgspec.Struct):
    """Where the picture appears, and how."""

    format: Annotated[
        str,
        typer.Option(
            "--format", "-f", metavar="FORMAT", help="On standard output: text or svg.", rich_help_panel=PICTURE
        ),
    ] = "text"
    output: Annotated[
        list[str] | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="Write to FILE, whole or not at all: .svg .png .gif .txt. Repeatable.",
            show_default=False,
            rich_help_panel=PICTURE,
        ),
    ] = None
    animate: Annotated[
        bool, typer.Option("--animate", help="All steps, one after the other: SVG and GIF.", rich_help_panel=PICTURE)
    ] = False
    theme: Annotated[
        str,
        typer.Option(
            "--theme", metavar="THEME", help="light, dark, or auto: an SVG follows its reader.", rich_help_panel=PICTURE
        ),
    ] = "auto"
    color: Annotated[
        str, typer.Option("--color", metavar="WHEN", help="auto, always or never.", rich_help_panel=PICTURE)
    ] = "auto"
    debug: Annotated[
        bool, typer.Option("--debug", help="Show the traceback of an internal error.", rich_help_panel=PICTURE)
    ] = False


@takes(flags=LayerFlags, where=PictureFlags)
def draw(
    flags: LayerFlags,
    where: PictureFlags,
    picture: Annotated[
        str | None,
        typer.Option(
            "--picture",
            metavar="NAME",
            help="Of a layer: taps, zero-insertion, groups, samples, regions; its kind's own when left out. "
            "Of the network: field (what a cell of --layer sees) or costs.",
            show_default=False,
        ),
    ] = None,
    layer: Annotated[
        str | None,
        typer.Option("--layer", metavar="NAME", help="The layer to draw; the first one.", show_default=False),
    ] = None,
    cell: Annotated[
        str | None,
        typer.Option("--cell", metavar="CELL", help="The output cell, as in 0,1.", show_default=False),
    ] = None,
    offsets: Annotated[
        str, typer.Option("--offsets", metavar="WHICH", help="Of a deformable layer: zero, random, or a file.npz.")
    ] = "random",
    seed: Annotated[int, typer.Option("--seed", metavar="N", help="Of random offsets.")] = 0,
) -> None:
    """A picture of a layer: which cells it reads, what it pads, how its channels are grouped. Or of a network.

    \b
    Example:
      convcli draw "Conv2d(3, 8, 3, stride=2, padding=1)" -i 1,3,8,8 --cell 1,2 -o taps.svg -o taps.png
    """
    files = _checked(where)
    if where.animate and cell is not None:
        raise SpecError("--cell is one step, --animate all of them", allowed="one of the two")
    at = None if cell is None else cell_of(cell, "--cell")
    plans = plans_of(flags)
    if len(plans) > 1:
        raise SpecError(f"{len(plans)} networks are too many for a picture", allowed="one")
    from convcli.pictures.asked import MOST_FRAMES, Asked
    from convcli.pictures.choice import OF_NETWORKS, picture_in

    def made(*, moving: bool, most: int = MOST_FRAMES) -> "Scene | Film":
        asked = Asked(cell=at, animate=moving, most=most, offsets=offsets, seed=seed)
        return picture_in(plans[0], picture, layer, asked)

    rendered: list[tuple[str, str | bytes]] = []
    for path, ending in files:
        moving = where.animate or (ending == ".gif" and at is None and picture not in OF_NETWORKS)
        scene = made(moving=moving, most=GIF_FRAMES if ending == ".gif" else MOST_FRAMES)
        rendered.append((path, _rendered(scene, ending, where.theme)))
    if rendered:
        from convcli.report.write import write

        for path, data in rendered:
            write(path, data)
        return
    if where.format == "svg":
        sys.stdout.write(str(_rendered(made(moving=where.animate), ".svg", where.theme)))
        return
    sys.stdout.write(_text(made(moving=False), color=_coloured(where.color)))


def _checked(where: PictureFlags) -> list[tuple[str, str]]:
    """(path, ending) of the files; what is wrong with the flags is told before any work is done."""
    for flag, value, allowed in (
        ("--format", where.format, ("text", "svg")),
        ("--theme", where.theme, ("auto", "light", "dark")),
        ("--color", where.color, ("auto", "always", "never")),
    ):
        if value not in allowed:
            raise SpecError(f"{flag} {value} is not known", allowed=", ".join(allowed))
    files = [(path, PurePath(path).suffix.lower()) for path in where.output or []]
    for path, ending in files:
        if ending not in ENDINGS:
            found = f"ends in {ending}" if ending else "has no ending"
            raise SpecError(f"{path!r} {found}", field="--output", allowed=", ".join(ENDINGS))
        if where.animate and ending not in {".svg", ".gif"}:
            raise SpecError(f"{path!r} cannot move", field="--animate", allowed="a file that ends in .svg or .gif")
    if where.animate and not files and where.format != "svg":
        raise SpecError("text cannot move", field="--animate", allowed="--output FILE.svg or FILE.gif, or --format svg")
    return files


def _rendered(picture: "Scene | Film", ending: str, theme: str) -> str | bytes:
    from convcli.pictures import scene

    film = picture if isinstance(picture, scene.Film) else scene.Film(picture, ((),))
    if ending == ".svg":
        from convcli.pictures.svg import svg

        return svg(picture, theme=theme)
    if ending == ".txt":
        return _text(film.still(), color=False, plain=False)
    from convcli.pictures import raster

    fixed = "light" if theme == "auto" else theme
    return raster.gif(film, theme=fixed) if ending == ".gif" else raster.png(film.still(), theme=fixed)


def _text(picture: "Scene | Film", *, color: bool, plain: bool | None = None) -> str:
    from convcli.pictures.scene import Film
    from convcli.pictures.terminal import blocks

    scene = picture.still() if isinstance(picture, Film) else picture
    ascii_alone = not _has_blocks() if plain is None else plain
    return blocks(
        scene,
        width=shutil.get_terminal_size().columns,
        color=color,
        plain=ascii_alone,
    )


def _coloured(color: str) -> bool:
    """Whether cells have colours: where tables have; NO_COLOR gives way to --color always alone."""
    return draws(color) and (color == "always" or not os.environ.get("NO_COLOR"))


def _has_blocks() -> bool:
    """Whether standard output takes the letters that cells are drawn with."""
    try:
        "\N{FULL BLOCK}\N{LIGHT SHADE}\N{DARK SHADE}\N{MIDDLE DOT}".encode(sys.stdout.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True
