"""Many records against those of one network or one method: grouping, differences, intervals, what is refused."""

import numpy as np
import pytest
from toy_networks import trained_record
from toy_records import FULLSUP, make_metrics, make_outcomes, remade

from wsolbench.errors import UsageError
from wsolbench.protocol.uncertainty import interval
from wsolbench.records import TrainingInfo, WeightsInfo
from wsolbench.records.compare import compare
from wsolbench.records.contrasts import contrast
from wsolbench.records.outcomes import bootstrap_scores
from wsolbench.records.tables import contrasts_markdown, contrasts_table

METRIC = "fullsup_box_acc_v2"
START = WeightsInfo(source="random", file=None, sha256=None)


def record_of(kernel=3, method="cam", *, shift=0, seed=0):
    """Return the record of a training; `shift` moves the τ at which every image is correct."""
    record = trained_record()
    training = TrainingInfo(
        **{"dataset": "birds", "recipe": "plain", "recipe_options": {}, "seed": seed, "command": "wsolbench train"},
        initial_weights=START,
    )
    weights = record.backbone.weights.model_copy(update={"training": training, "sha256": f"{seed}" * 64})
    parts = [make_outcomes(shift=shift), make_outcomes("train-fullsup", FULLSUP)]
    return remade(
        record,
        parts,
        metrics=make_metrics(parts, record.protocol),
        backbone=record.backbone.model_copy(
            update={"name": "net", "options": {"kernel_size": kernel}, "weights": weights}
        ),
        method=record.method.model_copy(update={"name": method}),
    )


def net(kernel):
    return f"net (kernel_size={kernel})"


def score_of(contrasts, network, method):
    (cell,) = [cell for cell in contrasts.cells if (cell.network, cell.method) == (network, method)]
    return cell.scores[METRIC]


def test_networks_stand_below_the_reference_method_by_method():
    shifts = {(3, "cam"): 1, (3, "pc1"): 0, (7, "cam"): 0, (7, "pc1"): 2, (13, "cam"): 2}
    contrasts = contrast([record_of(*name, shift=shift) for name, shift in shifts.items()], net(7))
    assert contrasts.axis == "network"
    assert [(cell.network, cell.method) for cell in contrasts.cells] == [
        *((net(kernel), "cam") for kernel in (7, 3, 13)),
        *((net(kernel), "pc1") for kernel in (7, 3)),
    ]
    assert score_of(contrasts, net(7), "cam").difference is None
    lines = contrasts_table(contrasts, None).splitlines()
    assert [line.split()[:3] for line in lines if line.startswith("cam")] == [
        ["cam", "net", f"(kernel_size={kernel})"] for kernel in (7, 3, 13)
    ]


def test_a_single_training_has_the_difference_and_the_interval_of_a_comparison():
    records = [record_of(3, shift=2), record_of(7, shift=0)]
    expected = compare(*records).differences[METRIC]
    found = score_of(contrast(records, net(3)), net(7), "cam")
    assert found.difference == expected
    assert found.spread is None
    assert found.value == records[1].metrics.fullsup_box_acc_v2
    assert expected.difference != 0


def test_methods_are_compared_on_the_same_network():
    records = [
        record_of(kernel, method, shift=shift)
        for kernel, method, shift in [(3, "cam", 0), (3, "pc1", 2), (7, "cam", 1), (7, "pc1", 1)]
    ]
    contrasts = contrast(records, "cam")
    assert contrasts.axis == "method"
    for kernel, pair in ((3, records[:2]), (7, records[2:])):
        assert score_of(contrasts, net(kernel), "pc1").difference == compare(*pair).differences[METRIC]


def test_seeds_are_averaged_in_the_score_and_in_every_resample():
    ours = [record_of(7, shift=shift, seed=seed) for seed, shift in enumerate((0, 1, 2))]
    theirs = [record_of(3, shift=shift, seed=seed) for seed, shift in enumerate((3, 1))]
    found = score_of(contrast([*ours, *theirs], net(3)), net(7), "cam")
    values = [[record.metrics.fullsup_box_acc_v2 for record in group] for group in (ours, theirs)]
    resamples = [
        sum(bootstrap_scores(record.outcomes, record.protocol)[METRIC] for record in group) / len(group)
        for group in (ours, theirs)
    ]
    assert found.value == pytest.approx(np.mean(values[0]))
    assert found.spread == pytest.approx(np.std(values[0], ddof=1))
    assert found.difference.difference == pytest.approx(np.mean(values[0]) - np.mean(values[1]))
    ends = interval(found.difference.difference, resamples[0] - resamples[1])
    assert (found.difference.low, found.difference.high) == pytest.approx(ends)


def test_where_the_reference_has_no_record_there_is_no_difference():
    contrasts = contrast([record_of(3), record_of(7), record_of(7, "pc1")], net(3))
    assert score_of(contrasts, net(7), "pc1").difference is None
    assert score_of(contrasts, net(7), "cam").difference is not None


def test_markdown_has_a_row_a_network_and_a_column_a_method():
    records = [record_of(3, shift=2), record_of(3, "pc1"), record_of(7), record_of(7, "pc1", seed=0, shift=1)]
    table, _, below = contrasts_markdown(contrast(records, net(3)), "fullsup_box_acc").partition("\n\n")
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]
    assert rows[0] == ["network", "cam", "pc1"]
    assert [row[0].replace("\\", "") for row in rows[2:]] == [net(3), net(7)]
    value, other = (record.metrics.fullsup_box_acc for record in (records[2], records[0]))
    assert rows[3][1].startswith(f"{value:.2f} ({value - other:+.2f}, ")
    assert "MaxBoxAcc, fullsup τ" in below


@pytest.mark.parametrize(
    ("records", "against", "message"),
    [
        ([record_of(3), record_of(7)], "net", r"^--against: .* 'net'; they are of 'net \(kernel_size=3\)'; .*; 'cam'$"),
        ([record_of(3), record_of(3), record_of(7)], "cam", r"two of the records measure the same: net .* with cam"),
        ([record_of(3), remade(record_of(7), [make_outcomes()])], "cam", "cannot be compared; they differ in"),
    ],
)
def test_what_cannot_be_compared_is_refused_in_one_line(records, against, message):
    with pytest.raises(UsageError, match=message):
        contrast(records, against)


def test_an_unknown_metric_is_refused_with_the_known_ones():
    contrasts = contrast([record_of(3), record_of(7)], net(3))
    with pytest.raises(UsageError, match=r"^--metric: none .* 'pxap' with an interval; they have top1_acc, "):
        contrasts_table(contrasts, "pxap")


def test_the_summary_has_every_metric():
    summary = contrast([record_of(3, shift=2), record_of(7)], net(3)).summary()
    assert summary["against"] == {"network": net(3)}
    first, second = summary["cells"]
    assert first["metrics"][METRIC]["difference"] is None
    assert second["metrics"].keys() == first["metrics"].keys() >= {"max_box_acc", "top1_acc", METRIC}
    assert second["metrics"][METRIC]["interval"][0] <= second["metrics"][METRIC]["difference"]
