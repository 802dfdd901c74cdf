"""Data sets on disk for the tests of plugins."""

import pytest
from trees import TREES


@pytest.fixture(scope="session")
def disk_roots(tmp_path_factory):
    """Write a data set that lies on disk, by its name, and return where: the same folder every time."""
    written = {}

    def make(name):
        assert name in TREES, f"no test data for the data set '{name}': add what writes it to TREES"
        if name not in written:
            written[name] = TREES[name](tmp_path_factory.mktemp(name))
        return written[name]

    return make
