"""Which records try a claim of the paper, what the verdict is, and how the page puts it."""

import pytest
from toy_networks import trained_record
from toy_records import FULLSUP, make_outcomes, remade

from wsolbench.leaderboard.claims import CLAIMS, claims_as_markdown, mean_difference, try_claims, verdict_of
from wsolbench.leaderboard.entries import Entry, group_tables
from wsolbench.records import TrainingInfo, WeightsInfo
from wsolbench.records.compare import Difference, compare, scores_of

RANDOM = WeightsInfo(source="random", file=None, sha256=None)
PUBLISHED = WeightsInfo(source="file", file="published.pth", sha256="e" * 64)
PC1, SIGNS, KERNEL, LARGEST = CLAIMS


def training(seed=0, start=RANDOM):
    return TrainingInfo(
        **{"dataset": "birds", "recipe": "plain", "recipe_options": {}, "seed": seed, "command": "wsolbench train"},
        initial_weights=start,
    )


def entry(method, shift=0, *, network="net", kernel=3, options=None, card=None, weights=None, **outcomes):
    """Return the entry of a network, pretrained unless it has a card; a shift moves all τ that localize an image."""
    record = trained_record()
    told = weights or PUBLISHED.model_copy(update={"training": card})
    backbone = record.backbone.model_copy(
        update={"name": network, "largest_kernel": kernel, "options": options or {}, "weights": told}
    )
    parts = [make_outcomes(shift=shift, **outcomes), make_outcomes("train-fullsup", FULLSUP)]
    made = remade(record, parts, backbone=backbone, method=record.method.model_copy(update={"name": method}))
    name = f"{network}-{kernel}-{method}-{card and card.seed}-{told.source}.json"
    return Entry(name, "0" * 64, made)


def tried(*entries):
    """Return claim, whether networks are pretrained -> the pairs as (network or method, network or method)."""
    return {
        (result.claim, result.pretrained): [(first.name, second.name) for (first, second), _ in result.pairs]
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
    networks = [
        entry("pc1", network=name, kernel=kernel) for name, kernel in (("a", 3), ("b", 13), ("c", 5), ("d", 13))
    ]
    assert tried(*networks) == {
        (LARGEST, True): [(networks[0].name, networks[1].name), (networks[0].name, networks[3].name)]
    }


def test_a_difference_is_that_of_compare_and_its_mean_is_over_pairs():
    one, other, third = (entry(method, shift) for method, shift in (("cam", 2), ("pc1", 0), ("cam-pos", 1)))
    (result,) = try_claims(group_tables([one, other]))
    expected = compare(one.record, other.record).differences["fullsup_box_acc_v2"]
    assert result.pairs[0][1] == expected
    assert result.mean == expected
    drawn = [scores_of(each.record, ()) for each in (one, other, third)]
    both = mean_difference([(drawn[0], drawn[1]), (drawn[0], drawn[2])], "fullsup_box_acc_v2")
    gaps = [compare(one.record, each.record).differences["fullsup_box_acc_v2"].difference for each in (other, third)]
    assert both.difference == pytest.approx(sum(gaps) / 2)
    there_and_back = mean_difference([(drawn[0], drawn[1]), (drawn[1], drawn[0])], "fullsup_box_acc_v2")
    assert (there_and_back.difference, there_and_back.low, there_and_back.high) == pytest.approx((0, 0, 0))


@pytest.mark.parametrize(
    ("low", "high", "verdict"), [(0.1, 2.0, "holds"), (-2.0, -0.1, "fails"), (-1.0, 1.0, "open"), (0.0, 1.0, "open")]
)
def test_the_verdict_is_where_the_interval_lies(low, high, verdict):
    assert verdict_of(Difference(10.0, 10.0 + (low + high) / 2, low, high)) == verdict


def test_the_page_says_which_way_each_claim_falls():
    section = claims_as_markdown(group_tables([entry("cam", 2), entry("pc1", network="net")]))
    first, second, third = section.split("### ")[1:4]
    (row,) = [line for line in first.splitlines() if line.startswith("| birds, 8 images") and "pretrained" in line]
    result = try_claims(group_tables([entry("cam", 2), entry("pc1")]))[0]
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    mean = f"{result.mean.difference:+.1f} [{result.mean.low:+.1f}, {result.mean.high:+.1f}]".replace("-", "−")
    assert cells[:5] == ["birds, 8 images", "pretrained", "1", mean, f"**{verdict_of(result.mean)}**"]
    assert [int(cell) for cell in cells[5:]] == [
        int(verdict_of(result.mean) == each) for each in ("holds", "open", "fails")
    ]
    assert "No two records of this page try it." in second
    assert "No two records of this page try it." in third


def test_the_page_says_where_a_claim_cannot_be_tried():
    entries = [entry("cam-pos"), entry("cam-neg", constant_maps=8), entry("cam"), entry("pc1")]
    section = claims_as_markdown(group_tables(entries)).split("### ")[2]
    assert "birds, 8 images, pretrained: not tried; cam-neg is the same everywhere." in section
    assert "trained with wsolbench: not tried" not in section


def test_without_a_large_kernel_the_page_says_which_is_the_largest():
    small, medium, large = (entry("cam", network=name, kernel=size) for name, size in (("a", 3), ("b", 7), ("c", 9)))
    assert tried(small, medium) == {}
    assert tried(small, medium, large) == {(LARGEST, True): [(small.name, large.name)]}
    section = claims_as_markdown(group_tables([small, medium, entry("pc1", network="b", kernel=7)]))
    assert "birds, 8 images, pretrained: not tried; the largest kernel is 7×7." in section
