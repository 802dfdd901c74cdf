"""``python -m wsolbench``: the command line, for where its script is not on the path."""

from wsolbench.cli.app import main

main()
