"""``python -m wsolbench``: the command line, for where its script is not on the path."""

import sys

if not sys.flags.safe_path:
    del sys.path[0]  # -m puts the working directory there, whose modules and plugins nobody asked for

from wsolbench.cli.app import main

main()
