"""Runs the blocks of a page in the working directory, in their order: ``python tests/run_page.py PAGE``.

Python blocks share a module, as cells of a notebook do. Shell blocks are run by bash, which stops at the first failure.
"""

import subprocess
import sys
import types
from pathlib import Path

from pages import blocks


def run(page):
    module = types.ModuleType("page")
    sys.modules["page"] = module
    for block in blocks(page, "sh", "python"):
        if block.reason is not None:
            continue
        print(f"{page.name}:{block.line}", flush=True)
        if block.language == "python":
            lines = "\n" * (block.line - 1) + block.text  # so that tracebacks name lines of the page
            exec(compile(lines, page, "exec"), module.__dict__)
        else:
            subprocess.run(["bash", "-euo", "pipefail", "-c", block.text], check=True)


if __name__ == "__main__":
    run(Path(sys.argv[1]).resolve())
