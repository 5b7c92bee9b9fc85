"""Searches for identities against slow loops and answers known by hand."""

import json

import numpy as np
import pytest

from kerasvision import metrics
from kerasvision.errors import KerasvisionError
from kerasvision.metrics import embedding_distances

DISTANCES = ("euclidean", "squared", "cosine")


def made_up(people=15, photos=4, spread=0.8, seed=0, decimals=None):
    """Return embeddings and labels; rounded to whole numbers, many distances are equal."""
    random = np.random.default_rng(seed)
    labels = random.permutation(np.repeat(np.arange(people), photos))
    vectors = random.normal(size=(people, 4))[labels] + spread * random.normal(size=(len(labels), 4))
    return (vectors if decimals is None else vectors.round(decimals) + [0, 0, 0, 0.5]), labels


def slow_distance(a, b, distance):
    square = float(((a - b) ** 2).sum())
    if distance == "cosine":
        return 1 - float(a @ b) / (np.linalg.norm(a) * np.linalg.norm(b))
    return square**0.5 if distance == "euclidean" else square


def parts(vectors, labels, enrolled, known=None):
    """Return gallery, its labels, probes and theirs: the first photos of those known are enrolled."""
    chosen = np.zeros(len(labels), bool)
    for who in np.unique(labels):
        if known is None or who in known:
            chosen[np.flatnonzero(labels == who)[:enrolled]] = True
    return vectors[chosen], labels[chosen], vectors[~chosen], labels[~chosen]


def slow_ranks(gallery, gallery_labels, probes, probe_labels, distance):
    ranks = []
    for probe, who in zip(probes, probe_labels, strict=True):
        nearest = {}
        for vector, name in zip(gallery, gallery_labels, strict=True):
            apart = round(slow_distance(vector, probe, distance), 9)
            nearest[name] = min(apart, nearest.get(name, np.inf))
        ranks.append(1 + sum(d <= nearest[who] for name, d in nearest.items() if name != who))
    return np.array(ranks)


@pytest.mark.parametrize("distance", DISTANCES)
@pytest.mark.parametrize("decimals, enrolled", [(None, 1), (None, 2), (0, 1), (0, 2)])
def test_ranks_equal_a_slow_loop(monkeypatch, distance, decimals, enrolled):
    monkeypatch.setattr(embedding_distances, "CELLS_AT_ONCE", 100)  # some blocks
    given = parts(*made_up(decimals=decimals), enrolled)
    found = metrics.identification(*given, distance=distance, ranks=(1, 3, 15))
    expected = slow_ranks(*given, distance)
    assert found.rates == {rank: pytest.approx((expected <= rank).mean()) for rank in (1, 3, 15)}
    np.testing.assert_allclose(found.cmc, [(expected <= rank).mean() for rank in range(1, 16)])
    assert (found.count, found.identities) == (len(expected), 15)
    assert found.interval[0] < found.rates[1] < found.interval[1]


def test_identification_by_hand():
    gallery, names = [[0.0], [10.0], [20.0]], ["ann", "bob", "cem"]
    found = metrics.identification(
        gallery, names, [[1.0], [6.0], [14.0]], ["ann", "ann", "ann"], ranks=(1, 2, 3)
    )
    assert found.rates == {1: pytest.approx(1 / 3), 2: pytest.approx(2 / 3), 3: 1.0}
    assert found.interval is None  # probes of one person alone
    as_near = metrics.identification(gallery, names, [[5.0]], ["ann"], ranks=(1, 2))
    assert as_near.rates == {1: 0.0, 2: 1.0}


@pytest.mark.parametrize("distance", DISTANCES)
def test_open_set_equals_a_slow_loop(distance):
    given = parts(*made_up(people=20), 1, known=range(0, 20, 2))
    found = metrics.open_set_identification(*given, distance=distance, false_accept_rates=(0.3, 0.1, 0.001))
    gallery, names, probes, owners = given
    nearest = [
        min((slow_distance(g, p, distance), n) for g, n in zip(gallery, names, strict=True)) for p in probes
    ]
    known = np.isin(owners, names)
    strangers = np.array([d for d, _ in nearest])[~known]
    right = np.array([d for (d, n), who in zip(nearest, owners, strict=True) if n == who])
    assert (found.known, found.unknown, found.identities) == (known.sum(), (~known).sum(), 10)
    for rate in found.rates[:2]:
        first_wrong = np.sort(strangers)[int(rate.false_accept_rate * len(strangers))]
        assert rate.true_accept_rate == pytest.approx((right < first_wrong).sum() / known.sum())
        assert rate.measured == pytest.approx((strangers <= rate.threshold + 1e-12).mean())
        assert rate.measured <= rate.false_accept_rate
        assert rate.interval[0] <= rate.true_accept_rate <= rate.interval[1]
    assert found.rates[2].reason.startswith("too few impostor pairs") and found.rates[2].interval is None
    assert found.interval_of.endswith("of identities")


def test_open_set_by_hand():
    gallery, names = [[0.0], [10.0]], ["ann", "bob"]
    probes = [[1.0], [2.0], [9.0], [3.0], [6.0], [14.0]]
    owners = ["ann", "bob", "bob", "stranger", "other", "other"]
    found = metrics.open_set_identification(
        gallery, names, probes, owners, false_accept_rates=(0.5,), repeats=0
    )
    (rate,) = found.rates
    # Strangers are 3, 4 and 4 away from somebody: one of three is allowed. Bob at 2 is taken for Ann.
    assert (rate.threshold, rate.true_accept_rate) == (3.0, pytest.approx(2 / 3))
    assert rate.measured == pytest.approx(1 / 3) and rate.interval is found.interval_of is None


def slow_retrieval(vectors, labels, distance, k):
    """Return recall@k, MAP@R and R-precision as the paper writes them, ties against the query."""
    hits, average, precision = [], [], []
    for i, who in enumerate(labels):
        others = [j for j in range(len(labels)) if j != i]
        count = sum(labels[j] == who for j in others)
        if not count:
            continue
        rows = [(round(slow_distance(vectors[i], vectors[j], distance), 9), labels[j] == who) for j in others]
        right = [same for _, same in sorted(rows)]
        hits.append([any(right[:one]) for one in k])
        average.append(sum(sum(right[: j + 1]) / (j + 1) for j in range(count) if right[j]) / count)
        precision.append(sum(right[:count]) / count)
    return np.mean(hits, axis=0), np.mean(average), np.mean(precision)


@pytest.mark.parametrize("distance", DISTANCES)
@pytest.mark.parametrize("decimals", [None, 0], ids=["no ties", "ties"])
def test_retrieval_equals_a_slow_loop(monkeypatch, distance, decimals):
    monkeypatch.setattr(embedding_distances, "CELLS_AT_ONCE", 100)
    vectors, labels = made_up(decimals=decimals)
    labels[:7] = [50, 51, 52, 3, 3, 3, 3]  # some with one photo, some with many
    found = metrics.retrieval(vectors, labels, distance=distance, k=(1, 2, 4, 8))
    recall, average, precision = slow_retrieval(vectors, labels, distance, (1, 2, 4, 8))
    np.testing.assert_allclose(list(found.recall.values()), recall)
    assert (found.map_at_r, found.r_precision) == (pytest.approx(average), pytest.approx(precision))
    single = (np.bincount(labels) == 1).sum()
    assert (found.queries, found.left_out) == (len(labels) - single, single)
    for interval, value in ((found.recall_interval, recall[0]), (found.map_at_r_interval, average)):
        assert interval[0] < value < interval[1]


def test_map_at_r_by_hand():
    vectors = np.array([[0.0], [1.0], [2.0], [3.0]])
    alone = metrics.retrieval(vectors, [0, 0, 1, 0], k=(1,))
    # R is 2. From 0: right at 1, wrong, then out of reach: 1/2. From 1: two are as near, the wrong one first:
    # (1/2) / 2. From 3: wrong, right: (1/2) / 2.
    assert alone.map_at_r == pytest.approx((1 / 2 + 1 / 4 + 1 / 4) / 3)
    assert alone.r_precision == pytest.approx(1 / 2) and alone.recall == {1: pytest.approx(1 / 3)}


def test_the_same_answer_for_everything_earns_nothing():
    vectors, labels = np.tile([0.3, 0.1], (12, 1)), np.repeat(np.arange(4), 3)
    found = metrics.retrieval(vectors, labels)
    assert found.recall[1] == found.map_at_r == 0
    assert found.recall_interval == (0.0, pytest.approx(1 - 0.025 ** (1 / 4)))
    assert metrics.identification(*parts(vectors, labels, 1)).rates[1] == 0
    found = metrics.open_set_identification(
        *parts(vectors, labels, 1, known=(0, 1)), false_accept_rates=(0.2,)
    )
    assert found.rates[0].true_accept_rate == 0


def test_judgement_holds_all_of_it_and_survives_json():
    vectors, labels = made_up()
    found = metrics.judge_embeddings(vectors, labels, false_accept_rate=0.02)
    again = metrics.EmbeddingJudgement.from_dict(json.loads(json.dumps(found.to_dict())))
    assert again.to_dict() == found.to_dict()
    assert again.retrieval == found.retrieval and again.identification == found.identification
    assert again.open_set == found.open_set
    pairs = metrics.all_pairs(labels)
    accepted = metrics.pair_distances(vectors, pairs.first, pairs.second) <= found.threshold
    assert found.measured_false_accept_rate == accepted[~pairs.same].mean() <= 0.02
    assert (
        found.true_accept_rate == accepted[pairs.same].mean() == found.verification.at(0.02).true_accept_rate
    )
    assert (found.count, found.identities) == (60, 15) == (len(labels), found.identification.identities)
    assert (found.identification.count, found.open_set.identities) == (45, 8)
    assert found.open_set.known == 8 * 3 and found.open_set.unknown == 7 * 4


def test_judgement_at_a_threshold_that_is_in_use():
    vectors, labels = made_up()
    found = metrics.judge_embeddings(vectors, labels, threshold=1.5)
    pairs = metrics.all_pairs(labels)
    accepted = metrics.pair_distances(vectors, pairs.first, pairs.second) <= 1.5
    assert found.measured_false_accept_rate == accepted[~pairs.same].mean()
    assert (found.threshold, found.true_accept_rate) == (1.5, accepted[pairs.same].mean())


def test_judgement_of_few_says_what_it_cannot():
    found = metrics.judge_embeddings([[0.0], [0.1], [5.0]], ["a", "a", "b"])
    assert found.threshold is found.true_accept_rate is found.identification is found.open_set is None
    assert found.verification.at(0.01).reason.startswith("too few impostor pairs")
    assert metrics.EmbeddingJudgement.from_dict(json.loads(json.dumps(found.to_dict()))).threshold is None
    assert "at 1.00% false accepts: too few impostor pairs" in str(found) and "None" not in str(found)


def test_judgement_in_words_is_short_and_names_thresholds():
    vectors, labels = made_up()
    found = metrics.judge_embeddings(vectors, labels, threshold=1.5)
    lines, rate = str(found).splitlines(), found.open_set.rates[0]
    assert lines[0] == "60 images of 15 identities, euclidean distance" and len(lines) <= 8
    assert lines[1].startswith(f"threshold 1.5: {found.true_accept_rate:.1%} true, ")
    assert f"equal error rate {found.verification.eer:.1%}, area under the ROC" in str(found)
    strangers = next(line for line in lines if "10.00% of strangers taken for somebody" in line)
    assert f": {rate.true_accept_rate:.1%}" in strangers
    assert strangers.endswith(f"(threshold {rate.threshold:.4g})")


def test_errors():
    vectors, labels = np.eye(4), np.array([0, 1, 2, 3])
    with pytest.raises(KerasvisionError, match="Received: 9, who is not. `open_set_identification`"):
        metrics.identification(vectors, labels, vectors[:1], [9])
    with pytest.raises(KerasvisionError, match="only enrolled ones; `identification`"):
        metrics.open_set_identification(vectors, labels, vectors, labels)
    with pytest.raises(KerasvisionError, match="only strangers"):
        metrics.open_set_identification(vectors, labels, vectors, labels + 10)
    with pytest.raises(KerasvisionError, match="`false_accept_rates` must be below 1"):
        metrics.open_set_identification(vectors, labels, vectors, labels, false_accept_rates=(1,))
    with pytest.raises(KerasvisionError, match="embeddings of one length. Received: 4 and 3"):
        metrics.identification(vectors, labels, vectors[:, :3], labels)
    with pytest.raises(KerasvisionError, match="`ranks` must be"):
        metrics.identification(vectors, labels, vectors, labels, ranks=(0,))
    with pytest.raises(KerasvisionError, match="`k` must be"):
        metrics.retrieval(vectors, [0, 0, 1, 1], k=())
    with pytest.raises(KerasvisionError, match="an identity with two images"):
        metrics.retrieval(vectors, labels)
    with pytest.raises(KerasvisionError, match=r"`gallery_labels` must be \(4,\)"):
        metrics.identification(vectors, labels[:3], vectors, labels)
    with pytest.raises(KerasvisionError, match="`threshold` must be a finite"):
        metrics.judge_embeddings(vectors, labels, threshold=np.nan)
