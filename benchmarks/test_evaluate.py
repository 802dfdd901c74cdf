"""``wsolbench evaluate`` from end to end over 2,000 stored maps, beside reading the same maps and nothing else."""

import pytest
from map_folder import read_all, write_map_folder

from wsolbench.config import EvaluateConfig
from wsolbench.engine.evaluate import evaluate
from wsolbench.host.loading import load_plugins
from wsolbench.progress import Reporter

COUNT = 2000


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("maps")
    write_map_folder(root, COUNT)
    return root


@pytest.mark.parametrize("threshold_step", [0.01, 0.001])
def test_evaluate(benchmark, folder, threshold_step):
    config = EvaluateConfig.of(
        dataset="folder",
        metadata_root=folder / "metadata",
        scoremaps=folder / "maps",
        threshold_step=threshold_step,
        workers=1,
    )
    registry = load_plugins()
    record = benchmark.pedantic(lambda: evaluate(config, registry, Reporter(), command=""), rounds=3, warmup_rounds=1)
    assert record.dataset.split_sizes == {"test": COUNT}


def test_reading_alone(benchmark, folder):
    assert benchmark.pedantic(read_all, args=(folder,), rounds=3, warmup_rounds=1) == COUNT * 12 * 12 * 2
