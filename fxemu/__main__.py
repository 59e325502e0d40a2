"""`python -m fxemu` is the `fxemu` command."""

from fxemu.cli import main

if __name__ == "__main__":
    main()
