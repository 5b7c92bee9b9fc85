"""What one does with a trained embedder: embed, verify, judge, load."""

import shutil

import numpy as np
import pytest
from embedder_training import badges, train
from PIL import Image

from kerasvision.errors import BadImageError, DataError, ExportError, KerasvisionError, RunError
from kerasvision.recipes import EmbedderRun, Run, Verified, open_exported
from kerasvision.recipes.embedding_pairs import look_at_pairs, make_map
from kerasvision.recipes.embedding_samples import several_of_each
from kerasvision.recipes.run_folder import plain


@pytest.fixture(scope="module")
def data():
    return badges()


@pytest.fixture(scope="module")
def run(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run") / "badges"
    return train(data, folder, epochs=1, freeze_epochs=None, strategy="scratch")


@pytest.fixture(scope="module")
def photos(data, tmp_path_factory):
    """A folder of photos for each identity of the test split, larger than the input."""
    folder, part = tmp_path_factory.mktemp("photos"), data.splits["test"]
    for index, label in enumerate(part.labels):
        own = folder / data.class_names[label]
        own.mkdir(exist_ok=True)
        photo = Image.fromarray(part.sources[index]).resize((80, 64), Image.Resampling.BILINEAR)
        photo.save(own / f"{index}.png")
    return folder


def _vector(run, image):
    return np.asarray(run.model(image[None].astype(np.float32), training=False))[0]


@pytest.mark.parametrize("kind", ["path", "array", "batch", "pil", "bytes"])
def test_embed_takes(run, photos, kind):
    file = sorted(photos.rglob("*.png"))[0]
    array = np.asarray(Image.open(file))
    image = {
        "path": file,
        "array": array,
        "batch": array[None],
        "pil": Image.open(file),
        "bytes": file.read_bytes(),
    }[kind]
    found = run.embed(image)
    assert found.shape == (1, 16) and found.dtype == np.float32
    np.testing.assert_allclose(found[0], _vector(run, run.preprocessing.read(str(file))), atol=1e-4)
    assert np.linalg.norm(found) == pytest.approx(1.0, abs=1e-5)


def test_verify_says_how_far_apart_two_images_are(run, data):
    first, second = data.images("test", [0, 7])
    apart = float(np.linalg.norm(_vector(run, first) - _vector(run, second)))
    found = run.verify(first, second)
    assert found.distance == pytest.approx(apart, abs=1e-4)
    assert found.threshold == run.threshold and found.false_accept_rate == 0.1
    assert found.same == (apart <= run.threshold) and found.names == ("image #1", "image #2")
    verdict = "the same" if found.same else "not the same"
    assert verdict in str(found) and "10.00% false accepts" in str(found)
    one = run.verify(first, first)
    assert one.same and one.distance == pytest.approx(0.0, abs=1e-6)
    wide = run.verify(first, second, threshold=2.0)
    assert wide.same and wide.false_accept_rate is None and wide.threshold == 2.0
    assert not run.verify(first, second, threshold=0).same


def test_verify_all_compares_every_two(run, photos):
    files = sorted(photos.rglob("*.png"))[:4]
    found = run.verify_all(files)
    assert [one.names for one in found] == [
        (str(a), str(b)) for i, a in enumerate(files) for b in files[i + 1 :]
    ]
    assert found[0] == run.verify(files[0], files[1])
    assert all(isinstance(one, Verified) for one in found)
    with pytest.raises(DataError, match="`images` must be two or more"):
        run.verify_all(files[0])


@pytest.mark.parametrize("threshold", [-0.1, True, "0.5", float("nan")])
def test_a_threshold_that_is_none_is_refused(run, data, threshold):
    images = data.images("test", [0, 1])
    with pytest.raises(KerasvisionError, match="`threshold` must be a distance"):
        run.verify(*images, threshold=threshold)


def test_verify_takes_one_image_each(run, photos, data):
    with pytest.raises(DataError, match="`first` must be one image. Received: 30"):
        run.verify(photos, data.images("test", [0])[0])


def test_landmarks_are_for_embedders_of_aligned_faces(run, data):
    image = data.images("test", [0])[0]
    with pytest.raises(DataError, match="`landmarks` are for embedders of aligned faces"):
        run.embed(image, landmarks=lambda image: None)


def test_bad_files_are_named_or_skipped(run, photos, tmp_path):
    good = sorted(photos.rglob("*.png"))[0]
    shutil.copy(good, tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(good.read_bytes()[:300])
    with pytest.raises(BadImageError, match=r"b\.png"):
        run.embed(tmp_path)
    assert run.embed(tmp_path, on_bad_file="skip").shape == (1, 16)


def test_evaluate_judges_at_the_shipped_threshold(run, data, photos):
    judgement = run.evaluate(data)
    assert plain(judgement.to_dict()) == plain(run.judgement.to_dict())
    other = run.evaluate(data, "validation")
    assert plain(other.to_dict()) == run.metrics["validation"]
    folder = run.evaluate(photos)  # larger photos of the same scenes: nearly the same figures
    assert folder.identities == 5 and folder.count == 30 and folder.threshold == run.threshold
    assert folder.verification.auc == pytest.approx(judgement.verification.auc, abs=0.1)
    with pytest.raises(DataError, match="`split` must be one of"):
        run.evaluate(data, "holdout")
    with pytest.raises(DataError, match="must be a VisionData of identities"):
        run.evaluate([1, 2])


def test_evaluate_warns_of_names_that_were_trained_on(run, data, monkeypatch):
    said = []
    monkeypatch.setattr("kerasvision.recipes.embeds.say", said.append)
    run.evaluate(data)
    assert said == [], "identities of the test were not trained on"
    run.evaluate(data, "train")
    assert len(said) == 1 and said[0].startswith("10 of 10 identities have the name of one that was trained")


def test_evaluate_takes_classes_for_identities(run, data):
    from dataclasses import replace

    named = replace(data, task="classify")
    assert plain(run.evaluate(named).to_dict()) == plain(run.judgement.to_dict())


def test_load_opens_runs_of_embedders(run):
    opened = Run.load(run.folder)
    assert isinstance(opened, EmbedderRun)
    assert (opened.threshold, opened.distance, opened.fingerprint) == (
        run.threshold,
        run.distance,
        run.fingerprint,
    )
    assert "16 dimensions" in repr(opened) and "5 identities (test)" in repr(opened)
    assert "ROC" in opened._repr_html_() and "<script" not in opened._repr_html_()
    with pytest.raises(ExportError, match=r"is a run, no exported file.*recipes\.EmbedderRun\.load"):
        open_exported(run.folder)
    with pytest.raises(RunError, match="is not that of a segmenter's run"):
        from kerasvision.recipes import SegmenterRun

        SegmenterRun.load(run.folder)


def test_worst_pairs_and_counts_are_those_of_a_slow_reference():
    random = np.random.default_rng(0)
    vectors, labels = random.normal(size=(40, 5)), random.integers(0, 8, 40)
    found = look_at_pairs(vectors, labels, distance="euclidean", most=6)
    apart = np.linalg.norm(vectors[:, None] - vectors[None], axis=-1)
    first, second = np.triu_indices(40, 1)
    alike = labels[first] == labels[second]
    assert found.histogram.same.sum() == alike.sum()
    assert found.histogram.different.sum() == (~alike).sum()
    assert found.nearest[0].distance == pytest.approx(apart[first, second][~alike].min())
    assert found.farthest[0].distance == pytest.approx(apart[first, second][alike].max())
    for pairs, same in ((found.nearest, False), (found.farthest, True)):
        for pair in pairs:
            assert (labels[pair.first] == labels[pair.second]) == same
            assert pair.distance == pytest.approx(apart[pair.first, pair.second])
    who = [frozenset((labels[p.first], labels[p.second])) for p in found.nearest]
    assert len(set(who)) == 6, "other identities come before more pairs of the same two"


@pytest.mark.parametrize(("count", "method"), [(6, "PCA"), (40, "t-SNE")])
def test_the_map_has_a_point_for_each_image(count, method):
    vectors = np.random.default_rng(0).normal(size=(count, 8))
    labels = np.arange(count) % 3 + 4
    found = make_map(
        vectors,
        labels,
        [f"n{i}" for i in range(9)],
        [str(i) for i in range(count)],
        distance="cosine",
        seed=0,
    )
    assert found.points.shape == (count, 2) and np.isfinite(found.points).all()
    assert method in found.method and found.identities == ("n4", "n5", "n6")
    assert [found.identities[i] for i in found.labels[:4]] == ["n4", "n5", "n6", "n4"]


def test_chosen_images_have_others_of_their_identity():
    labels = np.array([5] * 9 + [6] * 9 + [7])
    chosen = several_of_each(labels, 8, 4, 0)
    assert len(chosen) == 8 and sorted(np.bincount(labels[chosen])[5:].tolist()) == [4, 4]
    assert len(several_of_each(labels, 100, 4, 0)) == 9
