"""Verification against scikit-learn, slow loops and answers known by hand."""

import json
from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score, roc_curve

from kerasvision import metrics
from kerasvision.errors import KerasvisionError
from kerasvision.metrics import verifying_blocks
from kerasvision.metrics.lfw import best_threshold


def made_up(people=12, photos=6, spread=0.9, seed=0, size=8):
    """Return embeddings of people, and who they are of, shuffled."""
    random = np.random.default_rng(seed)
    labels = random.permutation(np.repeat(np.arange(people), photos))
    centres = random.normal(size=(people, size))
    return centres[labels] + spread * random.normal(size=(len(labels), size)), labels


def made_up_pairs(count=400, decimals=None, seed=0):
    random = np.random.default_rng(seed)
    same = random.random(count) < 0.3
    distances = np.abs(random.normal(np.where(same, 1.0, 2.0), 0.6))
    return distances if decimals is None else distances.round(decimals), same


def slow_rates(distances, same, wanted):
    """Return (threshold, true accepts) at the highest threshold with at most this rate, by trying all."""
    best = None
    for threshold in sorted(set(distances.tolist())):
        false = sum(d <= threshold for d, s in zip(distances, same, strict=True) if not s)
        if false <= wanted * (~same).sum() + 1e-9:
            true = sum(d <= threshold for d, s in zip(distances, same, strict=True) if s)
            best = threshold, true / same.sum()
    return best


CASES = {"no ties": None, "ties": 1, "many ties": 0}


@pytest.mark.parametrize("decimals", CASES.values(), ids=CASES)
def test_curve_and_area_are_those_of_scikit_learn(decimals):
    distances, same = made_up_pairs(decimals=decimals)
    found = metrics.verification(distances, same, repeats=0)
    false, true, thresholds = roc_curve(same, -distances, drop_intermediate=False)
    np.testing.assert_allclose(found.curve.false_accepts, false[1:], atol=1e-15)
    np.testing.assert_allclose(found.curve.true_accepts, true[1:], atol=1e-15)
    np.testing.assert_array_equal(found.curve.thresholds, -thresholds[1:])
    assert found.auc == pytest.approx(roc_auc_score(same, -distances), abs=1e-12)
    assert (found.genuine, found.impostors) == (same.sum(), (~same).sum())


@pytest.mark.parametrize("decimals", CASES.values(), ids=CASES)
def test_equal_error_rate_is_where_the_interpolated_curve_meets_the_diagonal(decimals):
    distances, same = made_up_pairs(decimals=decimals)
    found = metrics.verification(distances, same, repeats=0)
    false, true, _ = roc_curve(same, -distances, drop_intermediate=False)
    way = np.linspace(0, len(false) - 1, 2_000_001)
    x, y = np.interp(way, np.arange(len(false)), false), np.interp(way, np.arange(len(true)), true)
    assert found.eer == pytest.approx(x[np.argmin(np.abs(x + y - 1))], abs=1e-4)
    accepted, right = found.curve.at_threshold(found.eer_threshold)
    assert accepted >= 1 - right


@pytest.mark.parametrize("decimals", CASES.values(), ids=CASES)
@pytest.mark.parametrize("rate", [1.0, 0.3, 0.1, 0.01])
def test_thresholds_are_the_highest_that_are_allowed(decimals, rate):
    distances, same = made_up_pairs(decimals=decimals)
    found = metrics.verification(distances, same, repeats=0).at(rate)
    expected = slow_rates(distances, same, rate)
    if expected is None:
        assert found.true_accept_rate == found.measured == 0 and found.threshold < distances.min()
    else:
        assert (found.threshold, found.true_accept_rate) == (expected[0], pytest.approx(expected[1]))
    assert (
        found.measured == pytest.approx((distances[~same] <= found.threshold).mean())
        and found.measured <= rate
    )


def test_ties_are_never_accepted_in_part():
    distances = [0.1, 0.5, 0.5, 0.5, 0.5, 0.9]
    same = [1, 1, 0, 0, 0, 0]
    found = metrics.verification(distances, same, false_accept_rates=(0.5, 0.75), repeats=0)
    assert [(r.threshold, r.true_accept_rate, r.measured) for r in found.rates] == [
        (0.1, 0.5, 0),
        (0.5, 1, 0.75),
    ]


def test_shares_that_binary_numbers_miss_are_counted_right():
    # 0.1 * 3 > 0.3: three of ten impostors are allowed at a rate of 0.3.
    found = metrics.verification(np.arange(12) / 10, [1, 1] + [0] * 10, false_accept_rates=(0.3,), repeats=0)
    assert found.rates[0].threshold == 0.4


def test_what_cannot_be_measured_is_said():
    distances, same = made_up_pairs()
    found = metrics.verification(distances, same)
    impostors = int((~same).sum())
    last = found.rates[-1]
    assert last.false_accept_rate == 1e-4 and last.true_accept_rate is last.interval is last.threshold is None
    assert last.reason == (
        f"too few impostor pairs to measure FAR 0.0001: there are {impostors}, and it takes at least 10,000"
    )
    with pytest.raises(
        KerasvisionError, match=r"`false_accept_rate` 0.0001 has no threshold: too few impostor"
    ):
        found.threshold_at(1e-4)
    with pytest.raises(KerasvisionError, match="Too few impostor pairs"):
        found.curve.operating_point(1e-4)
    exactly = metrics.verification([0.1, *np.linspace(0.2, 1, 100)], [1] + [0] * 100, repeats=0)
    assert exactly.at(0.01).measured == 0.01 and exactly.at(0.0099).reason


def test_long_curves_are_thinned_and_stay_on_the_safe_side():
    distances, same = made_up_pairs(60_000)
    found = metrics.verification(distances, same, threshold=1.2345, repeats=0)
    assert len(found.curve.thresholds) < 5000
    for rate in found.rates[:3]:
        assert (rate.threshold, rate.true_accept_rate) == pytest.approx(_fast_rates(distances, same, rate))
    for wanted in (0.0123, 0.2, 0.77):
        kept = found.at(wanted)
        threshold, true = _fast_rates(distances, same, replace(kept, false_accept_rate=wanted))
        assert kept.measured <= wanted and kept.threshold <= threshold
        assert kept.true_accept_rate == pytest.approx(true, abs=0.005)
    accepted = distances <= 1.2345
    assert found.curve.at_threshold(1.2345) == (accepted[~same].mean(), accepted[same].mean())
    assert found.curve.at_threshold(-1.0) == (0.0, 0.0)


def _fast_rates(distances, same, rate):
    impostors = np.sort(distances[~same])
    first_wrong = impostors[int(rate.false_accept_rate * len(impostors))]
    return distances[distances < first_wrong].max(), (distances[same] < first_wrong).mean()


# -- intervals


def slow_identity_bootstrap(vectors, labels, repeats, rate):
    """Draw people with replacement, make all pairs of them anew, and take (AUC, TAR at the rate)."""
    random, people = np.random.default_rng(5), np.unique(labels)
    figures = []
    for _ in range(repeats):
        drawn = random.choice(people, len(people))
        rows = [(row, who, copy) for copy, who in enumerate(drawn) for row in np.flatnonzero(labels == who)]
        index, who, copy = (np.array(column) for column in zip(*rows, strict=True))
        first, second = np.triu_indices(len(index), 1)
        genuine = copy[first] == copy[second]
        usable = genuine | (who[first] != who[second])  # two copies of one person make no pair
        if not (usable & ~genuine).any():
            continue
        distances = np.linalg.norm(vectors[index[first]] - vectors[index[second]], axis=1)[usable]
        found = metrics.verification(distances, genuine[usable], false_accept_rates=(rate,), repeats=0)
        figures.append((found.auc, found.rates[0].true_accept_rate))
    return np.quantile(figures, (0.025, 0.975), axis=0).T


def test_identity_intervals_agree_with_a_slow_bootstrap():
    vectors, labels = made_up(people=8, photos=3, spread=0.7)
    found = metrics.verify_embeddings(vectors, labels, false_accept_rates=(0.1,), repeats=4000)
    expected = slow_identity_bootstrap(vectors, labels, 1000, 0.1)
    for interval, slow in zip((found.auc_interval, found.rates[0].interval), expected, strict=True):
        np.testing.assert_allclose(interval, slow, atol=0.12 * (slow[1] - slow[0]))
    assert found.interval_of.startswith("percentile bootstrap") and found.interval_of.endswith(
        "of identities"
    )


def test_pair_intervals_are_those_of_a_slow_bootstrap_and_narrower_where_people_differ():
    vectors, labels = made_up(people=10, photos=8)
    pairs = metrics.all_pairs(labels)
    distances = metrics.pair_distances(vectors, pairs.first, pairs.second)
    by_pairs = metrics.verification(distances, pairs.same, repeats=3000)
    by_people = metrics.verify_embeddings(vectors, labels)
    random, areas = np.random.default_rng(1), []
    for _ in range(150):
        drawn = [random.choice(distances[pairs.same == kind], (pairs.same == kind).sum()) for kind in (1, 0)]
        areas.append(roc_auc_score([1] * len(drawn[0]) + [0] * len(drawn[1]), -np.concatenate(drawn)))
    slow = np.quantile(areas, (0.025, 0.975))
    np.testing.assert_allclose(by_pairs.auc_interval, slow, atol=0.2 * np.diff(slow).item())
    widths = [interval[1] - interval[0] for interval in (by_pairs.auc_interval, by_people.auc_interval)]
    assert widths[1] > 1.5 * widths[0]
    assert by_pairs.interval_of.endswith("of pairs") and by_pairs.identities is None


def test_intervals_hold_the_truth_about_as_often_as_they_say():
    truth = metrics.verify_embeddings(*made_up(people=400, photos=3, size=4), repeats=0).auc
    held = 0
    for seed in range(1, 41):
        found = metrics.verify_embeddings(*made_up(people=25, photos=3, size=4, seed=seed), repeats=200)
        held += found.auc_interval[0] <= truth <= found.auc_interval[1]
    assert 33 <= held <= 40


def test_perfect_answers_do_not_claim_certainty():
    vectors, labels = np.repeat(np.eye(6), 3, axis=0), np.repeat(np.arange(6), 3)
    found = metrics.verify_embeddings(vectors, labels, false_accept_rates=(0.1,))
    assert (found.auc, found.eer, found.rates[0].true_accept_rate) == (1, 0, 1)
    bound = 0.025 ** (1 / 6)  # six people, all right: Clopper-Pearson
    assert found.rates[0].interval == found.auc_interval == (pytest.approx(bound), 1.0)
    assert found.eer_interval == (0.0, pytest.approx(1 - bound))


def test_intervals_are_seeded_and_can_be_left_out():
    vectors, labels = made_up()
    first, again, other = (metrics.verify_embeddings(vectors, labels, seed=seed) for seed in (3, 3, 4))
    assert first.auc_interval == again.auc_interval != other.auc_interval
    without = metrics.verify_embeddings(vectors, labels, repeats=0)
    assert without.auc_interval is without.interval_of is without.rates[0].interval is None
    assert without.auc == first.auc


# -- all pairs of many embeddings


@pytest.mark.parametrize("distance", ["euclidean", "squared", "cosine"])
def test_counted_distances_give_what_all_of_them_give(monkeypatch, distance):
    vectors, labels = made_up(people=40, photos=5, spread=0.6)
    labels = np.where(np.arange(len(labels)) < 3, 90 + np.arange(len(labels)), labels)  # some with one photo
    exact = metrics.verify_embeddings(vectors, labels, distance=distance)
    monkeypatch.setattr(verifying_blocks, "EXACT_PAIRS", 10)
    monkeypatch.setattr(verifying_blocks, "CELLS_AT_ONCE", 300)
    counted = metrics.verify_embeddings(vectors, labels, distance=distance)
    assert (counted.genuine, counted.impostors, counted.identities) == (
        exact.genuine,
        exact.impostors,
        exact.identities,
    )
    assert counted.auc == pytest.approx(exact.auc, abs=1e-4) and counted.eer == pytest.approx(
        exact.eer, abs=1e-3
    )
    for one, other in zip(counted.rates[:3], exact.rates[:3], strict=True):
        assert one.measured <= one.false_accept_rate
        assert one.threshold == pytest.approx(other.threshold, abs=2 * counted.resolution)
        assert one.true_accept_rate == pytest.approx(other.true_accept_rate, abs=0.01)
    assert counted.interval_of == "jackknife over 32 groups of identities" and exact.resolution == 0
    widths = [x.auc_interval[1] - x.auc_interval[0] for x in (exact, counted)]
    assert widths[1] == pytest.approx(widths[0], rel=0.35)


def test_a_model_that_answers_the_same_for_all_earns_nothing(monkeypatch):
    labels = np.repeat(np.arange(10), 4)
    vectors = np.tile([0.3, 0.1, 0.7], (40, 1))
    for limit in (10**6, 10):
        monkeypatch.setattr(verifying_blocks, "EXACT_PAIRS", limit)
        found = metrics.verify_embeddings(vectors, labels)
        assert (found.auc, found.eer) == (0.5, 0.5)
        assert [rate.true_accept_rate for rate in found.rates[:2]] == [0, 0]


@pytest.mark.slow
def test_memory_does_not_grow_with_the_pairs():
    import tracemalloc

    vectors, labels = made_up(people=3000, photos=4, size=32)  # 72 million pairs: 576 MB as distances
    tracemalloc.start()
    metrics.judge_embeddings(vectors, labels)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 200e6


# -- the LFW protocol


def slow_lfw(distances, same, folds):
    accuracies = []
    for fold in sorted(set(folds.tolist())):
        inside = folds == fold
        points = np.unique(distances[~inside])
        tried = [points[0] - 1, *(points[:-1] + points[1:]) / 2, points[-1]]
        right = [((distances[~inside] <= t) == same[~inside]).mean() for t in tried]
        threshold = tried[int(np.argmax(right))]
        accuracies.append(((distances[inside] <= threshold) == same[inside]).mean())
    return accuracies


@pytest.mark.parametrize("decimals", CASES.values(), ids=CASES)
def test_lfw_protocol_equals_a_slow_one(decimals):
    distances, same = made_up_pairs(600, decimals)
    folds = np.random.default_rng(2).integers(0, 10, 600)
    found = metrics.lfw_protocol(distances, same, folds)
    expected = slow_lfw(distances, same, folds)
    assert found.accuracies == pytest.approx(expected)
    assert found.mean == pytest.approx(np.mean(expected))
    assert found.standard_error == pytest.approx(np.std(expected, ddof=1) / np.sqrt(10))
    assert found.pairs == 600 and len(found.thresholds) == 10
    assert metrics.LFWAccuracy.from_dict(json.loads(json.dumps(found.to_dict()))) == found


def test_lfw_protocol_by_hand():
    #            fold 1              fold 2
    distances = [0.2, 0.5, 0.6, 0.9, 0.1, 0.7, 0.4, 0.8]
    same = [1, 1, 0, 0, 1, 1, 0, 0]
    found = metrics.lfw_protocol(distances, same, [1] * 4 + [2] * 4)
    # Without fold 1, 0.25 and 0.75 have three right answers of four; the lower one is taken.
    assert found.thresholds == pytest.approx((0.25, 0.55))
    assert found.accuracies == (0.75, 0.5)
    assert (found.mean, found.standard_error) == (0.625, pytest.approx(0.125))


def test_best_threshold_may_accept_nothing():
    assert best_threshold(np.array([0.5, 0.5]), np.array([True, False])) < 0.5


# -- values and errors


def test_values_survive_json():
    found = metrics.verify_embeddings(*made_up())
    again = metrics.Verification.from_dict(json.loads(json.dumps(found.to_dict())))
    assert again.to_dict() == found.to_dict() and again.rates == found.rates
    assert again.threshold_at(0.037) == found.threshold_at(0.037)
    np.testing.assert_array_equal(again.curve.thresholds, found.curve.thresholds)


def test_all_pairs_are_each_once():
    first, second, same = metrics.all_pairs([5, 7, 5, 7])
    assert sorted(zip(first.tolist(), second.tolist(), strict=True)) == [
        (0, 1),
        (0, 2),
        (0, 3),
        (1, 2),
        (1, 3),
        (2, 3),
    ]
    assert same[(first == 0) & (second == 2)].all() and same.sum() == 2


@pytest.mark.parametrize("distance", ["euclidean", "squared", "cosine"])
def test_pair_distances_equal_their_definition(rng, distance):
    vectors = rng.normal(size=(20, 5)).astype(np.float32)
    first, second = rng.integers(0, 20, (2, 50))
    a, b = vectors[first].astype(float), vectors[second].astype(float)
    square = ((a - b) ** 2).sum(1)
    cosine = 1 - (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
    expected = {"euclidean": np.sqrt(square), "squared": square, "cosine": cosine}[distance]
    found = metrics.pair_distances(vectors, first, second, distance=distance)
    np.testing.assert_allclose(found, expected, atol=1e-12)
    assert (found[first == second] == 0).all()


ERRORS = {
    "shapes": (([1, 2], [1]), {}, "`distances` and `same` must be"),
    "empty": (([], []), {}, "`distances` and `same` must be"),
    "NaN": (([1, np.nan], [1, 0]), {}, "1 NaN"),
    "one kind": (([1, 2], [1, 1]), {}, "only pairs of one"),
    "other kind": (([1, 2], [0, 0]), {}, "only pairs of two"),
    "labels for same": (([1, 2], [0, 2]), {}, "`same` must be booleans"),
    "rate": (([1, 2], [0, 1]), {"false_accept_rates": (0,)}, r"must lie in \(0, 1\]"),
    "confidence": (([1, 2], [0, 1]), {"confidence": 95}, "`confidence`"),
    "identities": (([1, 2], [0, 1]), {"identities": [1, 2]}, r"`identities` must be \(2, 2\)"),
    "contradiction": (([1, 2], [0, 1]), {"identities": [[1, 1], [1, 1]]}, "the first is pair 0: 1 and 1"),
}


@pytest.mark.parametrize("arguments, options, message", ERRORS.values(), ids=ERRORS)
def test_errors(arguments, options, message):
    with pytest.raises(KerasvisionError, match=message):
        metrics.verification(*arguments, **options)


EMBEDDING_ERRORS = {
    "one dimension": (([1.0, 2.0], [0, 1]), {}, r"`embeddings` must be \(N, d\)"),
    "not finite": (([[1.0], [np.inf]], [0, 0]), {}, "first is row 1"),
    "zeros": (([[1.0], [0.0]], [0, 0]), {"distance": "cosine"}, "rows of zeros, the first is row 1"),
    "distance": (([[1.0], [0.0]], [0, 0]), {"distance": "manhattan"}, "`distance` must be one of euclidean"),
    "labels": (([[1.0], [0.0]], [0.5, 1.0]), {}, r"`labels` must be \(2,\) whole numbers or names"),
    "one identity": (([[1.0], [0.0]], [0, 0]), {}, "at least two identities"),
    "one photo each": (([[1.0], [0.0]], [0, 1]), {}, "one of them with two images"),
}


@pytest.mark.parametrize("arguments, options, message", EMBEDDING_ERRORS.values(), ids=EMBEDDING_ERRORS)
def test_embedding_errors(arguments, options, message):
    with pytest.raises(KerasvisionError, match=message):
        metrics.verify_embeddings(*arguments, **options)


def test_other_errors():
    with pytest.raises(KerasvisionError, match="`verify_embeddings` judges all"):
        metrics.all_pairs(np.zeros(20_000, int))
    with pytest.raises(KerasvisionError, match=r"`labels` must be \(N,\)"):
        metrics.all_pairs([[1, 2]])
    with pytest.raises(KerasvisionError, match="`second` must lie in 0..1. Received: 2"):
        metrics.pair_distances([[1.0], [2.0]], [0], [2])
    with pytest.raises(KerasvisionError, match="at least two folds"):
        metrics.lfw_protocol([1, 2], [0, 1], [0, 0])
    with pytest.raises(KerasvisionError, match="without fold 0 there are pairs of one kind only"):
        metrics.lfw_protocol([1, 2], [0, 1], [0, 1])
    with pytest.raises(KerasvisionError, match="`folds` must be"):
        metrics.lfw_protocol([1, 2], [0, 1], [0.5, 1])
