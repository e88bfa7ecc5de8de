"""`solve`: which layers do it, what makes a layer legal, what a shape error says."""

import re
import sys
from typing import Annotated

import typer

from convcli.cli.guard import Ended
from convcli.cli.options import ReportFlags, takes
from convcli.cli.output import Sink
from convcli.errors import SpecError

SPACE = "Which layers"
LONGEST = 1_000_000  # bytes of standard input: a traceback has a few thousand
MOST = 1000  # numbers in one range
_SIZE = re.compile(r"\d+([x,]\d+)*")


@takes(report=ReportFlags)
def solve(
    report: ReportFlags,
    question: Annotated[
        list[str],
        typer.Argument(
            metavar="QUESTION...",
            help="Two sizes (224 112, 224x224 112x56, whole shapes), a layer, an error's text, or - (standard input).",
        ),
    ],
    input: Annotated[  # noqa: A002 - the flag's name everywhere
        str | None,
        typer.Option("--input", "-i", metavar="SHAPE", help="Of a layer: the input's shape.", show_default=False),
    ] = None,
    kernel: Annotated[
        str | None,
        typer.Option(
            "--kernel", metavar="N,...", help="Only these: 3,5,7 or 1-7.", show_default=False, rich_help_panel=SPACE
        ),
    ] = None,
    stride: Annotated[
        str | None,
        typer.Option("--stride", metavar="N,...", help="Only these.", show_default=False, rich_help_panel=SPACE),
    ] = None,
    padding: Annotated[
        str | None,
        typer.Option(
            "--padding",
            metavar="N,...",
            help="Only these: numbers, same, valid, same_upper, same_lower.",
            show_default=False,
            rich_help_panel=SPACE,
        ),
    ] = None,
    dilation: Annotated[
        str | None,
        typer.Option("--dilation", metavar="N,...", help="Only these.", show_default=False, rich_help_panel=SPACE),
    ] = None,
    output_padding: Annotated[
        str | None,
        typer.Option(
            "--output-padding",
            metavar="N,...",
            help="Only these, of transposed layers.",
            show_default=False,
            rich_help_panel=SPACE,
        ),
    ] = None,
    transposed: Annotated[
        bool | None,
        typer.Option(
            "--transposed/--no-transposed",
            help="Transposed layers; left out, where the size grows.",
            show_default=False,
            rich_help_panel=SPACE,
        ),
    ] = None,
    exact_for_any: Annotated[
        bool,
        typer.Option(
            "--exact-for-any", help="Only what divides or multiplies every size alike.", rich_help_panel=SPACE
        ),
    ] = False,
    layers: Annotated[
        int, typer.Option("--layers", metavar="N", help="A chain of so many layers.", rich_help_panel=SPACE)
    ] = 1,
    rank: Annotated[
        int | None,
        typer.Option(
            "--rank",
            metavar="N",
            help="Spatial axes of a size that is one number; 2 if left out.",
            show_default=False,
            rich_help_panel=SPACE,
        ),
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option("--limit", metavar="N", help="At most so many answers; 8, of chains 3.", show_default=False),
    ] = None,
) -> None:
    """Which kernel, stride, padding turn 224 into 112; what makes a layer legal; what a shape error says.

    \b
    Example:
      convcli solve 224 112 --kernel 3,5,7
    """
    sink = Sink(report)
    from convcli.solver.solve import solve as solved

    words = " ".join(question).replace("->", " ").split()
    sizes = [_size(word) for word in words] if all(map(_SIZE.fullmatch, words)) else []
    if len(sizes) > 2:
        raise SpecError(f"{len(sizes)} sizes are too many", allowed="two")
    text = "" if sizes else _text(question)
    answer = solved(
        sizes[0] if sizes else text,
        sizes[1] if len(sizes) == 2 else None,
        input=None if input is None else _shape(input),
        kernel=_numbers("--kernel", kernel),
        stride=_numbers("--stride", stride),
        padding=_paddings(padding),
        dilation=_numbers("--dilation", dilation),
        output_padding=_numbers("--output-padding", output_padding),
        transposed=transposed,
        exact_for_any=exact_for_any,
        layers=layers,
        rank=rank,
        limit=limit,
    )
    sink.emit(answer)
    raise Ended(answer.exit_code)


def _text(question: list[str]) -> str:
    """A layer or a message; words that the shell took apart are put together."""
    if question != ["-"]:
        return " ".join(question)
    data = sys.stdin.buffer.read(LONGEST + 1)
    if len(data) > LONGEST:
        raise SpecError("standard input is too long for a message", allowed=f"at most {LONGEST:,} bytes")
    return data.decode("utf-8", "replace")


def _size(word: str) -> int | list[int]:
    numbers = [_number("a size", part) for part in re.split("[x,]", word)]
    return numbers[0] if len(numbers) == 1 else numbers


def _shape(word: str) -> tuple[int, ...]:
    from convcli.spec.build import shape_of

    return shape_of(word)


def _numbers(flag: str, text: str | None) -> list[int] | None:
    """3,5,7 and 1-7 as numbers."""
    return None if text is None else [number for word in text.split(",") for number in _range(flag, word)]


def _paddings(text: str | None) -> list[int | str] | None:
    if text is None:
        return None
    found: list[int | str] = []
    for word in text.split(","):
        found += _range("--padding", word) if word.strip()[:1].isdigit() else [word.strip().lower()]
    return found


def _range(flag: str, word: str) -> list[int]:
    first, dash, last = word.strip().partition("-")
    start = _number(flag, first)
    stop = _number(flag, last) if dash else start
    if stop - start >= MOST:
        raise SpecError(f"{flag} {word} are too many numbers", allowed=f"at most {MOST}")
    if stop < start:
        raise SpecError(f"{flag} {word} is no range", allowed="numbers as in 3,5,7, or a range as in 1-7")
    return list(range(start, stop + 1))


def _number(flag: str, text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,19}", text.strip()):
        raise SpecError(
            f"{flag}: {text.strip()[:40]!r} is no number", allowed="numbers as in 3,5,7, or a range as in 1-7"
        )
    return int(text)
