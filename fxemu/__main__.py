"""`python -m fxemu` is the `fxemu` command."""

from fxemu.cli import main

main()
