"""The map of the house, in CONTRIBUTING.md, is the house."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]


def read_map(block):
    """Return every path that a map names.

    A line names files, and folders with a slash at the end, and after two spaces or more says what they are. What
    is in a folder stands on lines below it, two spaces further in. A line whose first words are no such names goes on
    with what the one above says.
    """
    named, folders = set(), []
    for line in block.splitlines():
        entry = line.strip()
        names = re.split(r",? ", re.split(r"  +", entry)[0])
        depth = (len(line) - len(line.lstrip())) // 2
        if depth > len(folders) or not all(re.fullmatch(r"[\w.]+/|\w+\.[a-z]+|[\w/]+/", name) for name in names):
            continue
        del folders[depth:]
        named |= {"".join([*folders, name]) for name in names}
        folders.append(names[-1])
    return named


def test_the_reading_of_a_map():
    block = """
house/               the house
  door.py            in
  hall/ attic/       rooms, door.py is none of them
  kitchen/           where
                     kettle.py is no entry here
    oven.py, sink.py   hot and cold
shed/tools/          outside
"""
    expected = {"house/", "house/door.py", "house/hall/", "house/attic/", "house/kitchen/", "shed/tools/"}
    assert read_map(block) == expected | {"house/kitchen/oven.py", "house/kitchen/sink.py"}


def the_house():
    """Return every room and module of the core, but for what Python itself calls by names of its own."""
    core = ROOT / "wsolbench"
    modules = {path for path in core.rglob("*.py") if not path.name.startswith("__")}
    rooms = {path.parent for path in core.rglob("__init__.py")}
    return {f"{path.relative_to(ROOT)}" for path in modules} | {f"{room.relative_to(ROOT)}/" for room in rooms}


def test_the_map_names_every_room_and_module_and_nothing_else():
    """See `read_map` for how the first block of CONTRIBUTING.md is read."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    named = read_map(re.search(r"^```\n(.*?)^```", text, re.DOTALL | re.MULTILINE)[1])
    missing = sorted(the_house() - named)
    too_much = sorted(name for name in named if not (ROOT / name).exists())
    assert (missing, too_much) == ([], []), f"not on the map: {missing}; on the map, but not there: {too_much}"
