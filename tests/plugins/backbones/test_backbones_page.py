"""The table of docs/backbones.md has the parameters, inputs and maps of the networks."""

import re
from pathlib import Path

import pytest

from wsolbench.host.loading import load_plugins
from wsolbench.networks.describe import describe_backbone

REGISTRY = load_plugins()
PAGE = Path(__file__).parents[3] / "docs" / "backbones.md"
ROWS = re.findall(r"^\| `(\w+)` \| [^|]+ \| ([\d.]+) M \| (\d+) \| (\S+) \|$", PAGE.read_text(encoding="utf-8"), re.M)


def test_the_table_is_read():
    assert {"replknet_31b", "unireplknet_a", "overlock_xt", "slak_tiny"} <= {name for name, *_ in ROWS}


@pytest.mark.slow
@pytest.mark.parametrize("row", ROWS, ids=[name for name, *_ in ROWS])
def test_a_row_is_what_describe_says(row):
    name, millions, size, shape = row
    offer = REGISTRY.backbones.get(name)
    facts = describe_backbone(offer.spec, offer.provider, 1000, merged=False)
    assert f"{facts['parameters'] / 1e6:.1f}" == millions
    assert facts["input"]["size"] == int(size)
    assert "×".join(map(str, (facts["feature_channels"], *facts["feature_size"]))) == shape
