"""Scores against quantities: the join of records and analyses, rank correlations and arrows, against literal ones."""

from itertools import permutations

import numpy as np
import pytest
from scipy.stats import rankdata, spearmanr
from toy_records import ENVIRONMENT, make_backbone, make_record

from wsolbench.analysis.single_settings import settings_of, steps_between
from wsolbench.analysis.stored import AnalyzedNetwork, StoredAnalysis
from wsolbench.analysis.studies.scatter import Study, _Correlation, rank_correlation
from wsolbench.analysis.study import Evidence
from wsolbench.errors import DataError
from wsolbench.records import MethodInfo

CAM = MethodInfo(name="cam", provider="p 1", options={}, changed_options={}, reads_network=True)


def record(shift, *args, method=CAM, seed=0, **kinds):
    environment = ENVIRONMENT.model_copy(update={"seed": seed})
    return make_record(shift, backbone=make_backbone(*args, **kinds), method=method, environment=environment)


def erf_of(*networks, size=256, seed=0):
    """Return a stored analysis in which networks have the sizes 0.1, 0.2 ..."""
    return StoredAnalysis(
        analysis="erf",
        options={"size": size},
        seed=seed,
        environment=ENVIRONMENT,
        config={},
        networks=[AnalyzedNetwork(label=f"N{place}", backbone=each) for place, each in enumerate(networks)],
        table=[{"network": f"N{place}", "ERF size": (place + 1) / 10} for place in range(len(networks))],
        **{"shows": ".", "cannot_say": ".", "files": []},
    )


@pytest.fixture
def records():
    return [record(shift, f"net{shift}", kernel, "abcd"[shift]) for shift, kernel in enumerate((3, 7, 5, 31))]


def test_quantities_are_joined_by_network_and_weights(records):
    analysis = erf_of(*(make_backbone(f"net{n}", 3, sha, size=1024) for n, sha in enumerate("abce")))
    table = Study().conclude(Evidence(records, [analysis]))
    joined = table.details["networks"].set_index("network")
    assert joined["ERF size"].tolist()[:3] == pytest.approx([0.1, 0.2, 0.3])
    assert np.isnan(joined["ERF size"]["net3"])  # its weights are others
    assert joined["input of the ERF size"].tolist()[:3] == ["1,024 px"] * 3
    assert table.figures[""].axes[0].get_xlabel() == "ERF size, inputs of 1,024 px"
    assert joined["parameters (millions)"].tolist() == [0.001] * 4
    assert joined["side of the largest kernel that looks around a position, in cells"].tolist() == [3, 7, 5, 31]
    rows = table.table.set_index("quantity")
    assert rows.loc["erf", "networks"] == 3
    assert rows.loc["erf", "without the quantity"] == "net3"
    scores = [each.metrics.fullsup_box_acc_v2 for each in records]
    assert rows.loc["kernel", "rank correlation"] == pytest.approx(spearmanr([3, 7, 5, 31], scores).statistic)
    assert set(table.figures) == {"", "kernel"}  # one input size, one number of parameters: no figure


def test_without_a_rank_correlation_the_networks_are_the_table(records):
    found = Study().conclude(Evidence(records[:2], [erf_of(make_backbone("net0", 3, "a"))]))
    assert found.table["network"].tolist() == ["net0", "net1"]
    assert found.shows == (
        "There is no rank correlation of MaxBoxAccV2, fullsup τ with erf (it needs 3 trained networks, and is known "
        "of 1); kernel, parameters, top1, input (it needs 3 trained networks, and there are 2)."
    )
    assert set(found.figures) == {""}


def test_quantities_without_a_rank_correlation_have_no_row(records):
    found = Study().conclude(Evidence(records))
    assert found.table["quantity"].tolist() == ["kernel"]
    assert found.table["rank correlation"].notna().all()
    assert "There is no rank correlation of MaxBoxAccV2, fullsup τ with" in found.shows
    assert "parameters, top1, input (it is the same in all networks)" in found.shows


def test_fields_of_different_inputs_are_not_mixed_silently(records):
    sizes = (64, 64, 96)
    networks = [make_backbone(f"net{n}", 3, sha, size=sizes[n]) for n, sha in enumerate("abc")]
    found = Study(x="erf").conclude(Evidence(records, [erf_of(*networks, size=None)]))
    assert "ERF sizes are of inputs of 64 and 96 px, so that they are not comparable" in found.shows
    assert found.figures[""].axes[0].get_xlabel() == "ERF size, inputs of 64 and 96 px"
    alike = Study(x="erf").conclude(Evidence(records, [erf_of(*networks[:2], size=None)]))
    assert "not comparable" not in alike.shows


@pytest.mark.parametrize("ties", [False, True])
def test_order_by_chance(ties):
    generator = np.random.default_rng(2)
    x, y = generator.integers(0, 3 if ties else 1000, (2, 6)).astype(float)
    found, chance = rank_correlation(np.stack([x, y], axis=1))
    assert found.value == pytest.approx(spearmanr(x, y).statistic)
    assert found.low <= found.value <= found.high
    orders = [abs(np.corrcoef(rankdata(x), order)[0, 1]) for order in permutations(rankdata(y))]
    assert chance == pytest.approx(np.mean([order >= abs(found.value) - 1e-9 for order in orders]))


def test_a_perfect_order_of_four_has_no_interval():
    found, chance = rank_correlation(np.array([[1, 10], [2, 20], [3, 30], [4, 40]], dtype=float))
    assert found.value == pytest.approx(1)
    assert np.isnan([found.low, found.high]).all()
    assert chance == pytest.approx(1 / 12)
    told = _Correlation("kernel", "cam", 4, found, chance, [], "").told
    assert told == "kernel, cam 1.00 (no interval: the order of all 4 networks is perfect, in resamples too)"
    assert np.isnan(rank_correlation(np.ones((5, 2)))[0].value)
    assert np.isnan(rank_correlation(np.array([[1, 1], [2, 2]], dtype=float))[0].value)


def literal_steps(settings):
    """Return pairs that differ in one setting, without those that another one lies between."""
    pairs = []
    for a, one in enumerate(settings):
        for b, other in enumerate(settings):
            differ = {name for name in {*one, *other} if one.get(name) != other.get(name)}
            if len(differ) == 1 and "network" not in differ:
                (name,) = differ
                if float(one[name]) < float(other[name]):
                    pairs.append((a, b, name))
    between = [
        (a, b, n) for a, b, n in pairs for c in range(len(settings)) if (a, c, n) in pairs and (c, b, n) in pairs
    ]
    return sorted(set(pairs) - set(between))


def test_arrows_join_neighbours_that_differ_in_one_setting():
    generator = np.random.default_rng(0)
    drawn = generator.integers(0, 3, (12, 3))
    settings = [{"network": f"n{a}", "size": str(64 * (b + 1)), "kernel": str(2 * c + 9)} for a, b, c in drawn]
    settings = [dict(pairs) for pairs in dict.fromkeys(tuple(each.items()) for each in settings)]
    found = [(step.start, step.end, step.setting) for step in steps_between(settings)]
    assert sorted(found) == literal_steps(settings) != []


def test_settings_that_arrows_know():
    def only(one, other):
        return [(step.setting, step.before, step.after) for step in steps_between([one, other])]

    shared = {"network": "a", "preprocessing/size": "64", "training/preprocessing/size": "64"}
    larger = {**shared, "preprocessing/size": "128", "training/preprocessing/size": "128"}
    assert only(larger, shared) == [("size", "64", "128")]  # trained and evaluated at another size
    assert only(shared, {**larger, "tap": "x"}) == []
    tags = [{"network": f"timm:net.{tag}", "weights hash": tag} for tag in ("fb_in1k", "fb_in22k")]
    assert only(*tags) == [("training of the weights", "fb_in1k", "fb_in22k")]
    assert only({"network": "a"}, {"network": "b"}) == []
    first = {"network": "a", "trained from/weights": "random", "trained from/weights hash": "seed 1"}
    second = {"network": "a", "trained from/weights": "pretrained", "trained from/weights hash": "12345678"}
    assert [setting for setting, _, _ in only(first, second)] == ["start of the training"]


def test_trainings_that_differ_in_their_seeds_are_one_network():
    one, other = (record(0, "net", source="random", seed=seed) for seed in (1, 2))
    assert settings_of(one) == settings_of(other)
    found = Study().conclude(Evidence([one, other, record(1, "net", source="file")]))
    assert found.details["networks"]["trainings"].tolist() == [2, 1]
    assert found.details["networks"]["network"].tolist() == ["net (random)", "net"]


def test_what_cannot_be_compared_is_refused(records):
    other = make_record(backbone=make_backbone("x"), method=CAM)
    elsewhere = other.model_copy(update={"dataset": other.dataset.model_copy(update={"name": "fish"})})
    with pytest.raises(DataError, match="differ in data set: birds and fish"):
        Study().conclude(Evidence([*records, elsewhere]))
    with pytest.raises(DataError, match="the erf analysis is of other networks or weights"):
        Study().conclude(Evidence(records, [erf_of(make_backbone("net0", 3, "e"))]))
    analyses = [erf_of(make_backbone("net0", 3, "a"), size=size) for size in (256, 512)]
    with pytest.raises(
        DataError, match="different settings are not compared: size 256 and size 512; name those of one"
    ):
        Study().conclude(Evidence(records, analyses))
    with pytest.raises(DataError, match="no record has the quantity 'erf'; measure it with"):
        Study(x="erf").conclude(Evidence(records))
    with pytest.raises(DataError, match="no record of a network has the metric 'top1_loc'"):
        Study(score="top1_loc").conclude(Evidence([make_record()]))


def test_baselines_have_no_make_backbone(records):
    centre = make_record(backbone=make_backbone("x"), method=changed_method("centre"))
    found = Study(x="kernel").conclude(Evidence([*records, centre]))
    assert found.details["networks"]["network"].tolist() == ["net0", "net1", "net2", "net3"]


def changed_method(name):
    return CAM.model_copy(update={"name": name, "reads_network": False})
