"""Every way a command can end, as an exit code: no user input yields a traceback."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

from convcli.errors import SpecError, Unchecked

MOST_SHOWN = 100  # problems; a file with more has one cause
WRONG_INPUT, UNCHECKED, INTERRUPTED = 2, 3, 130


class Ended(Exception):  # noqa: N818 - not an error
    """The command is over with this exit code; what there was to say has been said."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


def guarded(command: Callable[[], None], *, form: str = "text", debug: bool = False) -> int:  # noqa: PLR0911 - one per ending
    """Run a command; its exit code, after the messages that go with it on standard error."""
    try:
        command()
        sys.stdout.flush()
    except Ended as end:
        return end.code
    except SpecError as error:
        return _wrong_input(error, form)
    except KeyboardInterrupt:
        say("interrupted")
        return INTERRUPTED
    except BrokenPipeError:  # whoever read us has seen enough
        _close_stdout()
        return 0
    except Unchecked as error:
        if debug and error.__cause__ is not None:
            raise
        say(str(error))
        return UNCHECKED
    except (Exception, RecursionError, MemoryError) as error:
        if debug:
            raise
        say(f"internal error: {type(error).__name__}: {error}".rstrip(": "))
        say("this is a bug in convcli; --debug shows the traceback")
        return UNCHECKED
    return 0


def say(message: str) -> None:
    """One message on standard error, as `convcli: ...`."""
    try:
        sys.stderr.write(f"convcli: {message}\n")
    except (OSError, ValueError):  # no one listens there
        return


def _wrong_input(error: SpecError, form: str) -> int:
    if form == "github":
        from convcli.report.github import problems

        sys.stdout.write(problems(error))
    for problem in error.problems[:MOST_SHOWN]:
        say(str(problem))
    if len(error.problems) > 1:
        more = f", the first {MOST_SHOWN} of them above" if len(error.problems) > MOST_SHOWN else ""
        say(f"{len(error.problems)} problems{more}")
    return WRONG_INPUT


def _close_stdout() -> None:
    """Keep the interpreter's last flush from complaining about the pipe."""
    devnull = os.open(os.devnull, os.O_WRONLY)
    os.dup2(devnull, sys.stdout.fileno())
