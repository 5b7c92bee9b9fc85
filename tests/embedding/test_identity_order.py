"""Batches of P identities with K images each."""

import numpy as np
import pytest

from kerasvision.embedding import identity_order
from kerasvision.errors import DataError

RANDOM = np.random.default_rng(0)


def labels_of(*sizes: int) -> np.ndarray:
    return RANDOM.permutation(np.repeat(RANDOM.permutation(500)[: len(sizes)], sizes))


# name -> labels, P, K
CASES = {
    "even": (labels_of(*[8] * 10), 4, 4),
    "odd sizes": (labels_of(3, 5, 7, 9, 11, 13, 4, 4), 3, 4),
    "one large": (labels_of(100, 4, 4, 4, 4), 2, 4),
    "as few as can be": (labels_of(2, 2), 2, 2),
    "fewer than K": (labels_of(1, 2, 3, 6, 6), 3, 4),
    "many": (labels_of(*RANDOM.integers(1, 30, 200)), 16, 4),
}


def batches_of(labels, identities, per_identity, **options) -> np.ndarray:
    order = identity_order(labels, identities=identities, per_identity=per_identity, **options)
    assert order.dtype == np.int64 and len(order) > 0
    return order.reshape(-1, identities, per_identity)


@pytest.mark.parametrize(
    ("name", "few"),
    # "fewer than K" has too few identities left to leave any out: refused, below.
    [(n, few) for n in CASES for few in ("repeat", "leave_out") if (n, few) != ("fewer than K", "leave_out")],
)
def test_each_batch_has_p_different_identities_and_k_images_of_each(name, few):
    labels, identities, per_identity = CASES[name]
    sizes = dict(zip(*np.unique(labels, return_counts=True), strict=True))
    for batch in batches_of(labels, identities, per_identity, few=few):
        kinds = labels[batch]
        assert (kinds == kinds[:, :1]).all(), "images of an identity stand side by side"
        assert len(set(kinds[:, 0])) == identities
        for kind, images in zip(kinds[:, 0], batch, strict=True):
            assert few == "repeat" or sizes[kind] >= per_identity
            # Each as often as must be, never more.
            assert len(set(images)) == min(per_identity, sizes[kind])
            assert np.unique(images, return_counts=True)[1].max() == -(
                -per_identity // min(per_identity, sizes[kind])
            )


@pytest.mark.parametrize("name", list(CASES))
def test_an_epoch_shows_as_much_as_fits(name):
    """No image more than twice (where an identity has enough), and as many batches as there can be."""
    labels, identities, per_identity = CASES[name]
    batches = batches_of(labels, identities, per_identity)
    kinds, sizes = np.unique(labels, return_counts=True)
    groups = -(-sizes // per_identity)
    most = max(m for m in range(1, groups.sum() + 1) if np.minimum(groups, m).sum() >= m * identities)
    assert len(batches) == most
    for kind, size in zip(kinds, sizes, strict=True):
        images = batches[labels[batches] == kind]
        counts = np.bincount(images, minlength=len(labels))
        assert size < per_identity or counts.max(initial=0) <= 2
    if name == "even":
        assert sorted(batches.ravel()) == list(range(80))


def test_over_epochs_every_image_is_shown():
    labels, identities, per_identity = CASES["many"]
    seen = {
        i for epoch in range(12) for i in batches_of(labels, identities, per_identity, epoch=epoch).ravel()
    }
    assert seen == set(range(len(labels)))


def test_the_order_follows_seed_and_epoch_and_its_length_nothing():
    labels, identities, per_identity = CASES["odd sizes"]
    sizes = {"identities": identities, "per_identity": per_identity}
    orders = {
        (seed, epoch): identity_order(labels, **sizes, seed=seed, epoch=epoch).tolist()
        for seed in range(4)
        for epoch in range(4)
    }
    assert len(set(map(tuple, orders.values()))) == 16
    assert len({len(order) for order in orders.values()}) == 1
    assert identity_order(labels, **sizes, seed=2, epoch=3).tolist() == orders[2, 3]


def test_a_million_images_are_ordered_at_once():
    labels = np.random.default_rng(0).integers(0, 50_000, 1_000_000)
    order = identity_order(labels, identities=32, per_identity=4)
    assert len(order) > 1_000_000 and len(order) % 128 == 0


@pytest.mark.parametrize(
    ("labels", "options", "message"),
    [
        ([0, 0, 1, 1], {"identities": 3}, "A batch needs 3 identities, but 2 of 2 .* at most `identities=2`"),
        ([0, 0, 1, 2], {"few": "leave_out"}, "needs 2 identities, but 1 of 3 .*few='leave_out'"),
        ([0, 0, 1, 1], {"few": "drop"}, "`few` must be 'repeat' or 'leave_out'. Received: 'drop'"),
        ([0, 0, 1, 1], {"identities": 1}, "`identities` must be a whole number from 2. Received: 1"),
        ([0, 0, 1, 1], {"per_identity": 1}, "`per_identity` must be a whole number from 2"),
        ([0, 0, 1, 1], {"per_identity": 2.0}, "`per_identity` must be a whole number from 2"),
        ([0, 0, 1, 1], {"seed": -1}, "`seed` must be a whole number from 0"),
        ([0, 0, 1, 1], {"epoch": -1}, "`epoch` must be a whole number from 0"),
        ([0.0, 1.0], {}, "`labels` must be"),
        ([[0, 1]], {}, "`labels` must be"),
    ],
)
def test_what_gives_no_batch_is_refused(labels, options, message):
    with pytest.raises(DataError, match=message):
        identity_order(labels, **{"identities": 2, "per_identity": 2, **options})
