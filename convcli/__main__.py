"""`python -m convcli`."""

from convcli.cli.app import main

if __name__ == "__main__":
    main()
