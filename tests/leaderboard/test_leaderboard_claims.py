"""Which records try a claim of the paper, what the verdict is, and how the page puts it."""

from dataclasses import replace

import pytest
from toy_networks import trained_record
from toy_records import FULLSUP, make_outcomes, remade

from wsolbench.leaderboard.claims import CLAIMS, Trial, claims_as_markdown, try_claims, verdict_of
from wsolbench.leaderboard.entries import Entry, group_tables
from wsolbench.records import TrainingInfo, WeightsInfo
from wsolbench.records.compare import Difference, compare
from wsolbench.records.contrasts import contrast

RANDOM = WeightsInfo(source="random", file=None, sha256=None)
PUBLISHED = WeightsInfo(source="file", file="published.pth", sha256="e" * 64)
PC1, SIGNS, KERNEL, LARGEST = CLAIMS


def training(seed=0, start=RANDOM):
    return TrainingInfo(
        **{"dataset": "birds", "recipe": "plain", "recipe_options": {}, "seed": seed, "command": "wsolbench train"},
        initial_weights=start,
    )


def entry(
    method,
    shift=0,
    *,
    network="net",
    kernel=3,
    stage=None,
    family="cnn",
    options=None,
    card=None,
    weights=None,
    **outcomes,
):
    """Return the entry of a network, pretrained unless it has a card; a shift moves all τ that localize an image."""
    record = trained_record()
    told = weights or PUBLISHED.model_copy(update={"training": card})
    backbone = record.backbone.model_copy(
        update={
            **{"name": network, "family": family, "options": options or {}, "weights": told},
            **{"largest_kernel": kernel, "stage_kernel": stage},
        }
    )
    parts = [make_outcomes(shift=shift, **outcomes), make_outcomes("train-fullsup", FULLSUP)]
    made = remade(record, parts, backbone=backbone, method=record.method.model_copy(update={"name": method}))
    name = f"{network}-{kernel}-{method}-{card and card.seed}-{told.source}.json"
    return Entry(name, "0" * 64, made)


def tried(*entries):
    """Return claim, whether networks are pretrained -> the pairs as (network or method, network or method)."""
    return {
        (result.claim, result.pretrained): [
            (first.name, second.name) for trial in result.trials for first, second in trial.pairs
        ]
        for result in try_claims(group_tables(entries))
    }


def test_methods_are_paired_on_the_same_weights_of_pretrained_networks_and_of_trained_ones_apart():
    here, elsewhere = [
        {method: entry(method, **made) for method in ("cam", "pc1", "cam-pos", "cam-neg")}
        for made in ({"card": training()}, {})
    ]
    found = tried(*here.values(), *elsewhere.values(), entry("cam", network="alone"))
    assert found == {
        (PC1, True): [(elsewhere["cam"].name, elsewhere["pc1"].name)],
        (PC1, False): [(here["cam"].name, here["pc1"].name)],
        (SIGNS, True): [(elsewhere["cam-neg"].name, elsewhere["cam-pos"].name)],
        (SIGNS, False): [(here["cam-neg"].name, here["cam-pos"].name)],
    }


@pytest.mark.parametrize(
    ("weights", "pretrained"),
    [
        (PUBLISHED, True),
        (WeightsInfo(source="pretrained", file="timm:net.in1k", sha256="f" * 64), True),
        (PUBLISHED.model_copy(update={"training": training(start=PUBLISHED)}), True),
        (PUBLISHED.model_copy(update={"training": training()}), False),
        (
            PUBLISHED.model_copy(
                update={"training": training(start=PUBLISHED.model_copy(update={"training": training()}))}
            ),
            False,
        ),
        (WeightsInfo(source="shipped", file="net.safetensors", sha256="f" * 64), False),
        (RANDOM, False),
    ],
)
def test_weights_are_pretrained_where_their_first_training_was_elsewhere(weights, pretrained):
    assert entry("cam", weights=weights).is_pretrained == pretrained


def test_what_has_no_score_makes_no_pair():
    cam = entry("cam")
    assert tried(cam, entry("pc1", constant_maps=8)) == {}  # as a record of an earlier version has it
    assert tried(entry("cam", weights=RANDOM), entry("pc1", weights=RANDOM)) == {}
    assert claims_as_markdown(group_tables([cam])) is None


def test_kernels_are_compared_with_the_smallest_where_nothing_else_differs():
    def trained(kernel, seed=0, **others):
        return entry("cam", kernel=kernel, options={"kernel_size": kernel, **others}, card=training(seed))

    small, middle, large = (trained(kernel) for kernel in (3, 7, 31))
    other_seed, wider = trained(7, seed=1), trained(13, width=2)
    found = tried(large, small, other_seed, middle, wider)
    assert found == {(KERNEL, False): [(small.name, middle.name), (small.name, large.name)]}
    sizes = (("a", 3), ("b", 13), ("c", 5), ("d", 13))
    networks = [entry("pc1", network=name, kernel=kernel, card=training()) for name, kernel in sizes]
    assert tried(*networks) == {
        (LARGEST, False): [(networks[0].name, networks[1].name), (networks[0].name, networks[3].name)]
    }


def test_pretrained_networks_without_a_card_are_not_trained_alike():
    networks = [entry("pc1", network=name, kernel=kernel) for name, kernel in (("a", 3), ("b", 13))]
    assert tried(*networks) == {}
    shown = claims_as_markdown(group_tables([*networks, entry("cam", network="a")])).split("## ")[4]
    assert "birds, 8 images, pretrained: not tried; trainings differ, or are not known." in shown


def test_a_patch_embedding_is_no_kernel_and_one_in_an_older_record_is_not_taken_for_one():
    resnet = entry("cam", network="resnet", kernel=7, stage=3, card=training())
    mlp = [entry("cam", network="mlp", kernel=16, stage=stage, family=None, card=training()) for stage in (0, None)]
    large = entry("cam", network="large", kernel=31, stage=13, card=training())
    for tokens in mlp:
        assert tried(resnet, tokens) == {}
    assert tried(resnet, mlp[1], large) == {(LARGEST, False): [(resnet.name, large.name)]}


def test_a_difference_is_that_of_compare_and_that_of_seeds_the_one_of_compare_against():
    one, other = (entry(method, shift) for method, shift in (("cam", 2), ("pc1", 0)))
    (result,) = try_claims(group_tables([one, other]))
    expected = compare(one.record, other.record).differences["fullsup_box_acc_v2"]
    assert [trial.difference for trial in result.trials] == [result.mean] == [expected]
    seeds = [
        entry(method, shift + seed, card=training(seed))
        for method, shift in (("cam", 2), ("pc1", 0))
        for seed in (0, 1)
    ]
    (result,) = try_claims(group_tables(seeds))
    cells = contrast([each.record for each in seeds], "cam").cells
    expected = next(cell for cell in cells if cell.method == "pc1").scores["fullsup_box_acc_v2"].difference
    assert [trial.difference for trial in result.trials] == [result.mean] == [expected]


def test_seeds_and_stages_are_one_network_of_which_each_counts_the_same():
    first = training()
    later = [
        training(seed, PUBLISHED.model_copy(update={"source": "file", "training": training(seed)})) for seed in (0, 1)
    ]
    cards = [first, training(1), *later]
    many = [
        entry(
            method, shift, card=card, weights=PUBLISHED.model_copy(update={"training": card, "sha256": f"{place:064d}"})
        )
        for place, card in enumerate(cards)
        for method, shift in (("cam", 2), ("pc1", 0))
    ]
    many = [replace(each, name=f"{place}.json") for place, each in enumerate(many)]
    single = [entry(method, 0, network="other", card=first) for method in ("cam", "pc1")]
    (result,) = try_claims(group_tables([*many, *single]))
    assert [len(trial.pairs) for trial in result.trials] == [4, 1]
    gaps = [trial.difference.difference for trial in result.trials]
    assert gaps[1] == 0
    assert result.mean.difference == pytest.approx(gaps[0] / 2)


def test_two_networks_under_two_methods_are_a_pair_in_each_of_two_rows():
    both = [
        entry(method, network=name, kernel=kernel, card=training())
        for method in ("cam", "pc1")
        for name, kernel in (("small", 3), ("large", 13))
    ]
    found = [result for result in try_claims(group_tables(both)) if result.claim is LARGEST]
    assert [(result.compared, len(result.trials)) for result in found] == [("cam", 1), ("pc1", 1)]


HOLDS, OPEN, FAILS = Difference(10, 12, 1, 3), Difference(10, 10, -1, 1), Difference(10, 8, -3, -1)


@pytest.mark.parametrize(
    ("networks", "mean", "verdict"),
    [
        ([HOLDS, HOLDS, OPEN], HOLDS, "holds"),
        ([HOLDS, OPEN], HOLDS, "mixed"),
        ([HOLDS, OPEN, OPEN], HOLDS, "mixed"),
        ([HOLDS, HOLDS, HOLDS, FAILS], HOLDS, "mixed"),
        ([HOLDS, OPEN, OPEN], OPEN, "open"),
        ([HOLDS, FAILS, OPEN, OPEN, OPEN], OPEN, "mixed"),
        ([OPEN, OPEN], HOLDS, "open"),
        ([FAILS], FAILS, "fails"),
    ],
)
def test_networks_that_disagree_are_mixed(networks, mean, verdict):
    pair = (entry("cam"), entry("pc1"))
    (result,) = try_claims(group_tables(pair))
    assert replace(result, trials=tuple(Trial((pair,), each) for each in networks), mean=mean).verdict == verdict


@pytest.mark.parametrize(
    ("low", "high", "verdict"), [(0.1, 2.0, "holds"), (-2.0, -0.1, "fails"), (-1.0, 1.0, "open"), (0.0, 1.0, "open")]
)
def test_the_verdict_is_where_the_interval_lies(low, high, verdict):
    assert verdict_of(Difference(10.0, 10.0 + (low + high) / 2, low, high)) == verdict


def test_the_page_says_which_way_each_claim_falls():
    section = claims_as_markdown(group_tables([entry("cam", 2), entry("pc1", network="net")]))
    first, second, third = section.split("## ")[1:4]
    (row,) = [line for line in first.splitlines() if line.startswith("| birds, 8 images") and "pretrained" in line]
    result = try_claims(group_tables([entry("cam", 2), entry("pc1")]))[0]
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    mean = f"{result.mean.difference:+.1f} [{result.mean.low:+.1f}, {result.mean.high:+.1f}]".replace("-", "−")
    verdict = f"**{verdict_of(result.mean)}**"
    assert cells[:6] == ["birds, 8 images", "pretrained", "pc1 − cam", "1", mean, verdict]
    assert [int(cell) for cell in cells[6:]] == [
        int(verdict_of(result.mean) == each) for each in ("holds", "open", "fails")
    ]
    assert "No two records of this page try it." in second
    assert "No two records of this page try it." in third


def test_the_page_says_where_a_claim_cannot_be_tried():
    entries = [entry("cam-pos"), entry("cam-neg", constant_maps=8), entry("cam"), entry("pc1")]
    section = claims_as_markdown(group_tables(entries)).split("## ")[2]
    assert "birds, 8 images, pretrained: not tried; cam-neg is the same everywhere." in section
    assert "trained with wsolbench: not tried" not in section


def test_without_a_large_kernel_the_page_says_which_is_the_largest():
    sizes = (("a", 3), ("b", 7), ("c", 9))
    small, medium, large = (entry("cam", network=name, kernel=size, card=training()) for name, size in sizes)
    assert tried(small, medium) == {}
    assert tried(small, medium, large) == {(LARGEST, False): [(small.name, large.name)]}
    pc1 = entry("pc1", network="b", kernel=7, card=training())
    page = claims_as_markdown(group_tables([small, medium, pc1]))
    assert "birds, 8 images, trained with wsolbench: not tried; no kernel is larger than 7×7." in page
    assert "have kernels of at most 7×7, first layers and patch embeddings included." in page


def test_the_page_says_which_networks_have_the_kernels_that_the_paper_speaks_of():
    pairs = [
        entry(method, network=name, kernel=kernel, stage=stage, card=card)
        for method in ("cam", "pc1")
        for name, kernel, stage, card in (
            ("squeeze", 7, 3, None),
            ("rep", 31, 31, training()),
            ("res", 7, 3, training()),
        )
    ]
    section = claims_as_markdown(group_tables(pairs)).split("## ")[1]
    assert "Source: Tables 1 and 3, on CUB" in section
    assert (
        "The paper claims this for networks with large kernels. The pretrained ones here have kernels of at most 3×3. "
        "Of the ones trained with wsolbench, these have kernels of at least 9×9: rep."
    ) in section
    assert "| squeeze, kernel 3 " in section
