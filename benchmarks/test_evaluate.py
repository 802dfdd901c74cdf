"""``wsolbench evaluate`` from end to end over 2,000 stored maps, beside reading the same maps and nothing else."""

import pytest
from map_folder import read_all, write_map_folder

from wsolbench.contract import DatasetRoots, Split
from wsolbench.data.opened import open_dataset
from wsolbench.engine.evaluate import EvaluationPlan, evaluate
from wsolbench.host.loading import load_plugins
from wsolbench.progress import Reporter

COUNT = 2000


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("maps")
    write_map_folder(root, COUNT)
    return root


@pytest.fixture(params=[0.01, 0.001])
def plan(request, folder):
    offer = load_plugins(strict=False).datasets.get("folder")
    return EvaluationPlan(
        dataset=open_dataset(offer, DatasetRoots(metadata=folder / "metadata")),
        scoremaps=folder / "maps",
        fullsup_scoremaps=None,
        split=Split.TEST,
        limit=None,
        interval=request.param,
        workers=1,
        strict=False,
        command="",
    )


def test_evaluate(benchmark, plan):
    record = benchmark.pedantic(evaluate, args=(plan, Reporter()), rounds=3, warmup_rounds=1)
    assert record.dataset.split_sizes == {"test": COUNT}


def test_reading_alone(benchmark, folder):
    assert benchmark.pedantic(read_all, args=(folder,), rounds=3, warmup_rounds=1) == COUNT * 12 * 12 * 2
