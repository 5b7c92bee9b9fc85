"""Training of embedders: what is learnt, what is refused, interruptions, and what lies in the folder."""

from dataclasses import replace
from types import SimpleNamespace

import keras
import numpy as np
import pytest
from embedder_training import badges, train, weights
from segmenter_training import backbone

from kerasvision import data as kd
from kerasvision.embedding import embedder, identity_order, make_loss
from kerasvision.embedding.projection import solve_projection
from kerasvision.errors import DataError, KerasvisionError, RunError
from kerasvision.files import read_json
from kerasvision.metrics import verify_embeddings
from kerasvision.recipes import embedding_training, train_face_embedder
from kerasvision.recipes.embedding_settings import choose_epochs, make_augmentation
from kerasvision.recipes.embedding_training import Validation, solve_head
from kerasvision.training import Training


@pytest.fixture(scope="module")
def data():
    return badges()


@pytest.fixture(scope="module")
def run(data, tmp_path_factory):
    return train(data, tmp_path_factory.mktemp("run") / "badges")


def test_it_tells_badges_apart_that_it_never_saw(tmp_path):
    images = badges(count=400, classes=50, validation_fraction=0.2, test_fraction=0.2)
    run = train(
        images,
        tmp_path / "run",
        backbone=backbone(normalised=False),
        strategy="scratch",
        identities=8,
        per_identity=4,
        epochs=12,
        freeze_epochs=None,
        learning_rate=3e-3,
        augment=None,
    )
    part = images.splits["test"]
    pixels = images.images("test", np.arange(len(part))).reshape(len(part), -1) / 255
    before = verify_embeddings(pixels, part.labels, repeats=0)
    assert run.judgement.verification.auc > before.auc + 0.1
    losses = [row["loss"] for row in run.history]
    assert losses[-1] < 0.7 * losses[0]


def test_the_folder_holds_everything(run, data):
    names = {path.name for path in run.folder.iterdir() if not path.name.startswith(".")}
    assert names == {
        *("run.json", "model.keras", "labels.txt", "preprocessing.json", "metrics.json", "history.csv"),
        *("report.html", "samples.npz", "examples.npz"),
    }
    record = read_json(run.folder / "run.json")
    assert record["status"] == "finished"
    assert record["decided"]["spec"]["dimensions"] == 16
    assert record["arguments"]["mining"] == "semi_hard" and record["arguments"]["distance"] == "euclidean"
    assert [(row["phase"], row["epoch"]) for row in run.history] == [
        ("freeze", 1),
        ("finetune", 1),
        ("finetune", 2),
    ]
    for row in run.history:
        assert row["val_loss"] > 0 and 0 <= row["val_true_accept_rate"] <= 1 and 0 < row["val_auc"] < 1
        assert 0 < row["active"] <= 1 and 0 < row["spread"] <= 1 and 1 <= row["dimensions"] <= 16
        assert 0 < row["positive_distance"] < 2 and 0 < row["negative_distance"] < 2
    assert run.metrics["split"] == "test"
    assert run.judgement.count == len(data.splits["test"]) and run.judgement.identities == 5
    page = (run.folder / "report.html").read_text()
    assert "<script" not in page
    for part in ("ROC", "Worst false accepts", "Worst false rejects", "Map of the embedding", "t-SNE"):
        assert part in page
    assert page.count('class="pair"') == 16
    assert "unless under another name. check(…, identities=True)" in page
    rate = run.judgement.open_set.rates[0]
    assert f"of strangers taken for somebody (threshold {rate.threshold:.4g})" in page


def test_the_threshold_is_that_of_the_validation_identities(run, data):
    """Chosen at the stated rate there, and judged as it is on the test identities."""
    part = data.splits["validation"]
    vectors = run.embed(data.images("validation", np.arange(len(part))))
    found = verify_embeddings(vectors, part.labels, false_accept_rates=(0.1,), repeats=0)
    assert run.threshold == pytest.approx(found.threshold_at(0.1), abs=1e-5)
    assert run.false_accept_rate == 0.1
    assert run.metrics["validation"]["measured_false_accept_rate"] <= 0.1
    assert run.judgement.threshold == run.threshold


def test_validation_counts_as_a_slow_reference_does(run, data):
    """True accepts, EER and the loss of all validation images, of which the last batch has few."""
    given = {"distance": "euclidean", "false_accept_rate": 0.1, "identities": 4, "per_identity": 3, "seed": 0}
    loss = make_loss("triplet", mining="semi_hard")
    found = Validation(SimpleNamespace(data=data, given=given), run.model, loss)()
    part = data.splits["validation"]
    images = data.images("validation", np.arange(len(part))).astype(np.float32)
    vectors = np.asarray(run.model(images, training=False))
    first, second = np.triu_indices(len(part), 1)
    apart = np.linalg.norm(vectors[first] - vectors[second], axis=-1)
    same = part.labels[first] == part.labels[second]
    impostors = np.sort(apart[~same])
    threshold = impostors[int(0.1 * len(impostors)) - 1]
    assert found["true_accept_rate"] == pytest.approx((apart[same] <= threshold).mean(), abs=1e-6)
    shares = [((apart[same] > t).mean(), (apart[~same] <= t).mean()) for t in np.sort(apart)]
    crossing = min(shares, key=lambda share: abs(share[0] - share[1]))
    assert found["eer"] == pytest.approx(np.mean(crossing), abs=0.01)
    nearer = (apart[same][:, None] < apart[~same]).mean() + (apart[same][:, None] == apart[~same]).mean() / 2
    assert found["auc"] == pytest.approx(nearer, abs=1e-6)
    order = identity_order(part.labels, identities=4, per_identity=3)
    losses = [float(np.mean(loss(part.labels[b], vectors[b]))) for b in order.reshape(-1, 12)]
    assert found["loss"] == pytest.approx(np.mean(losses), rel=1e-3)


def test_samples_stay_with_the_run_with_pairs_among_them(run, data):
    samples = run.samples
    assert samples.split == "test" and samples.images.shape[1:] == (32, 32, 3)
    assert np.bincount(samples.targets).max() >= 2 and len(np.unique(samples.targets)) == 5
    part = data.splits["test"]
    pixels = data.images("test", np.arange(len(part)))
    known = {image.tobytes(): label for image, label in zip(pixels, part.labels, strict=True)}
    for image, label in zip(samples.images, samples.targets, strict=True):
        assert known[image.tobytes()] == label


@pytest.mark.parametrize(
    ("loss", "options"),
    [
        pytest.param("contrastive", {}, marks=pytest.mark.slow),
        ("triplet", {"mining": "batch_hard", "margin": "soft"}),
        pytest.param("triplet", {"mining": "distance_weighted"}, marks=pytest.mark.slow),
        ("arcface", {"loss_options": {"scale": 16.0}, "margin": 0.2}),
        pytest.param("cosface", {}, marks=pytest.mark.slow),
        pytest.param("multi_similarity", {}, marks=pytest.mark.slow),
        pytest.param("circle", {}, marks=pytest.mark.slow),
    ],
)
def test_every_loss_trains(data, tmp_path, loss, options):
    run = train(
        data, tmp_path / "run", loss=loss, epochs=1, strategy="scratch", freeze_epochs=None, **options
    )
    row = run.history[0]
    by_class = loss in ("arcface", "cosface")
    assert np.isfinite(row["loss"]) and row["loss"] > 0
    assert (row["val_loss"] is None) == by_class, "held-out identities have no class"
    assert run.distance == ("euclidean" if loss in ("contrastive", "triplet") else "cosine")
    assert run.model.output_shape == (None, 16), "the class directions are not part of the embedder"


@pytest.mark.parametrize(
    ("strategy", "head", "solved"),
    [("finetune", "solved", True), ("finetune", "random", False), ("scratch", "solved", False)],
)
def test_the_projection_is_solved_on_the_features_of_the_backbone(data, strategy, head, solved):
    network = embedder(backbone(), preprocessing="zero_one", dimensions=16, image_size=32)
    layer, part = network.get_layer("head_projection"), data.splits["train"]
    drawn = np.array(layer.kernel)
    given = {"backbone": "small", "dimensions": 16, "head": head, "seed": 0}
    solve_head(SimpleNamespace(data=data, given=given, strategy=SimpleNamespace(name=strategy)), network)
    images = data.images("train", np.arange(len(part))).astype(np.float32)
    features = keras.Model(network.inputs[0], layer.input)(images, training=False)
    wanted, _ = solve_projection(features, part.labels, 16)
    found = np.array(layer.kernel)
    if solved:
        cosine = (found * wanted).sum() / np.linalg.norm(found) / np.linalg.norm(wanted)
        assert abs(cosine) > 0.999
        assert np.linalg.norm(found) == pytest.approx(np.linalg.norm(drawn), rel=1e-3)
    else:
        np.testing.assert_array_equal(found, drawn)


def test_the_frozen_backbone_stays(data, tmp_path):
    network = backbone()
    before = {w.path: np.array(w) for w in network.weights}
    run = train(data, tmp_path / "run", backbone=network, strategy="freeze", epochs=1, freeze_epochs=None)
    after = {w.path: np.array(w) for w in run.model.weights}
    assert all(np.array_equal(after[path], value) for path, value in before.items())
    assert len(after) > len(before)


def test_a_whole_embedder_is_trained_further_and_not_changed(run, data, tmp_path):
    before = weights(run)
    more = train(
        data,
        tmp_path / "run",
        backbone=run.model,
        preprocessing=None,
        epochs=1,
        freeze_epochs=None,
        strategy="scratch",
    )
    np.testing.assert_array_equal(weights(run), before)
    assert more.model.output_shape == (None, 16)
    assert more.fingerprint != run.fingerprint and not np.array_equal(weights(more), before)


def test_without_a_test_split_the_report_says_that_it_flatters(tmp_path):
    run = train(badges(test_fraction=0.0), tmp_path / "run", epochs=1, freeze_epochs=None, strategy="freeze")
    assert run.metrics["split"] == "validation" and "validation" not in run.metrics
    page = (run.folder / "report.html").read_text()
    assert "flattering" in page and "was chosen on 5 identities, which are few" in page


def test_a_collapse_is_spoken_of_and_in_the_report(tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr(embedding_training, "say", said.append)
    small, image = backbone(normalised=False), keras.Input((32, 32, 3))
    # Nearly all of each image's features is one constant: all embeddings are one point, and stay there.
    same = keras.layers.Rescaling(1e-4, offset=1.0)(keras.layers.GlobalAveragePooling2D()(small(image)))
    whole = keras.Model(image, keras.layers.UnitNormalization()(same))
    run = train(
        badges(test_fraction=0.0),
        tmp_path / "run",
        backbone=whole,
        preprocessing=None,
        learning_rate=1e-6,
        strategy="scratch",
        epochs=3,
        freeze_epochs=None,
    )
    assert len([text for text in said if "has collapsed" in text]) == 1
    assert "has collapsed" in (run.folder / "report.html").read_text()
    assert run.history[-1]["loss"] == pytest.approx(0.2, abs=0.01) and run.history[-1]["spread"] < 0.05


def test_called_again_it_returns_the_finished_run(run, data, monkeypatch):
    monkeypatch.setattr(Training, "run", None)
    again = train(data, run.folder)
    np.testing.assert_array_equal(weights(again), weights(run))


def test_other_arguments_or_data_are_refused(run, data):
    with pytest.raises(RunError, match="`mining` .*semi_hard.* -> .*batch_hard"):
        train(data, run.folder, mining="batch_hard")
    with pytest.raises(RunError, match="not those that the run in .* began with"):
        train(badges(count=140), run.folder)


@pytest.mark.parametrize(
    ("moment", "options"),
    [
        pytest.param(2, {}, marks=pytest.mark.slow),
        pytest.param(7, {"loss": "arcface"}, marks=pytest.mark.slow),
        pytest.param(8, {"mining": "distance_weighted"}, marks=pytest.mark.slow),
        pytest.param(7, {"mining": "random", "ema": 0.9}, marks=pytest.mark.slow),
    ],
)
def test_interrupted_anywhere_it_ends_the_same(data, tmp_path, monkeypatch, moment, options):
    """Interrupted at the n-th step over all phases, with a checkpoint after each step."""
    from kerasvision.training import Plan

    whole = train(data, tmp_path / "whole", epochs=2, **options)
    monkeypatch.setattr(Plan, "checkpoint_seconds", 0.0)
    original, steps = Training._one_step, []

    def interrupted(self, batch):
        steps.append(1)
        if len(steps) == moment + 2:  # after the two of the rehearsals
            raise KeyboardInterrupt
        return original(self, batch)

    with monkeypatch.context() as patch:
        patch.setattr(Training, "_one_step", interrupted)
        with pytest.raises(KeyboardInterrupt):
            train(data, tmp_path / "run", epochs=2, **options)
    again = train(data, tmp_path / "run", epochs=2, **options)
    np.testing.assert_allclose(weights(again), weights(whole), atol=2e-3)
    for row, other in zip(again.history, whole.history, strict=True):
        assert (row["phase"], row["epoch"]) == (other["phase"], other["epoch"])
        assert row["loss"] == pytest.approx(other["loss"], rel=1e-3)


def _shared(data):
    """Return the data with an identity of the training split in the validation split."""
    part = data.splits["validation"]
    labels = part.labels.copy()
    labels[:6] = data.splits["train"].labels[0]
    return replace(data, splits={**data.splits, "validation": replace(part, labels=labels)})


REFUSED = {
    "task": (lambda d: kd.shapes(count=8, classes=2), {}, "images of identities .*Received: task 'classify'"),
    "kind": (lambda d: [1], {}, "must be a `VisionData` of identities"),
    "shared": (_shared, {}, "in the train and in the validation split: badge"),
    "loss": (lambda d: d, {"loss": "centre"}, "`loss` must be one of contrastive"),
    "mining": (lambda d: d, {"mining": "hard"}, "`mining` must be one of"),
    "mined": (lambda d: d, {"loss": "arcface", "mining": "semi_hard"}, '`mining` is for loss="triplet"'),
    "margin": (lambda d: d, {"margin": -1.0}, "`margin` must be"),
    "option": (lambda d: d, {"loss_options": {"alpha": 2}}, "has no option `alpha`"),
    "twice": (lambda d: d, {"loss_options": {"margin": 2}}, "argument of its own: margin"),
    "distance": (lambda d: d, {"distance": "manhattan"}, "`distance` must be one of"),
    "rate": (lambda d: d, {"false_accept_rate": 0.0}, "`false_accept_rate` must be a share"),
    "few pairs": (
        lambda d: d,
        {"false_accept_rate": 1e-4},
        "cannot give a threshold for `false_accept_rate`",
    ),
    "identities": (lambda d: d, {"identities": 11}, "at most `identities=10`"),
    "number": (lambda d: d, {"identities": 1}, "`identities` must be a whole number from 2"),
    "images": (lambda d: d, {"per_identity": 1.5}, "`per_identity` must be a whole number"),
    "few": (lambda d: d, {"few": "drop"}, "`few` must be"),
    "head": (lambda d: d, {"head": "best"}, "`head` must be 'solved' or 'random'"),
    "mixing": (lambda d: d, {"augment": "flip+mixup"}, "`augment` must not hold mixup"),
    "schedule": (lambda d: d, {"schedule": "step"}, '`schedule` must be "poly" or "cosine"'),
    "strategy": (lambda d: d, {"strategy": "all"}, "`strategy` must be one of"),
    "dimensions": (lambda d: d, {"dimensions": 1}, "`dimensions` must be"),
    "backbone": (lambda d: d, {"backbone": "mobilnet", "preprocessing": None}, "mobilenet"),
    "preprocessing": (lambda d: d, {"preprocessing": None}, "`preprocessing` must be stated"),
}


@pytest.mark.parametrize(("change", "arguments", "message"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_trained_is_refused_before_anything_is_written(
    data, tmp_path, change, arguments, message
):
    with pytest.raises((KerasvisionError, DataError, ValueError), match=message):
        train(change(data), tmp_path / "run", **arguments)
    assert not (tmp_path / "run").exists()


def test_a_split_without_pairs_is_refused(data, tmp_path):
    part = data.splits["validation"]
    _, places = np.unique(part.labels, return_index=True)
    single = kd.Samples([part.sources[i] for i in places], part.labels[places], [str(i) for i in places])
    few = replace(data, splits={**data.splits, "validation": single})
    with pytest.raises(DataError, match="validation split must have at least two identities, and two images"):
        train(few, tmp_path / "run")


def test_small_sets_are_seen_more_often():
    given = {"epochs": None, "freeze_epochs": None}
    assert choose_epochs(given, "freeze", 5) == {"freeze": 60}
    assert choose_epochs(given, "freeze", 100) == {"freeze": 15}
    assert choose_epochs(given, "finetune", 1_000) == {"freeze": 1, "finetune": 9}
    assert choose_epochs({"epochs": 8, "freeze_epochs": 3}, "finetune", 5) == {"freeze": 3, "finetune": 5}


def test_augmentation_leaves_identities_alone():
    change = make_augmentation("flip+color", 0.5, 0)
    images = np.random.default_rng(0).uniform(0, 255, (6, 16, 16, 3)).astype(np.float32)
    change.seed_step(3)
    changed, labels = change(images, np.array([3, 3, 1, 1, 0, 0], np.int32))
    np.testing.assert_array_equal(labels, [3, 3, 1, 1, 0, 0])
    assert np.abs(np.asarray(changed) - images).max() > 1
    assert make_augmentation(None, 0.5, 0) is None


def test_it_is_a_recipe_of_the_package():
    from kerasvision import recipes

    assert recipes.train_face_embedder is train_face_embedder
