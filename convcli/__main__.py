"""`python -m convcli`, and the entry point of the `convcli` command."""

import gc
import sys


def main() -> None:
    """Run the command line.

    What a start makes lives to the end: looking for garbage in it, while modules load and once more when the process
    ends, would cost a short command a sixth of its time.
    """
    gc.disable()
    from convcli.cli.app import app, run

    command_line = app(sys.argv[1:])
    gc.freeze()
    gc.enable()
    run(command_line)


if __name__ == "__main__":
    main()
