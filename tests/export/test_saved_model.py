"""SavedModels: arrays, encoded photos, labels, and photos of other sizes."""

import dataclasses
import io

import numpy as np
import pytest
from export_helpers import CLASSES, SIZE, pictures
from PIL import Image

from kerasvision.data.preprocessing import Preprocessing
from kerasvision.errors import CertificateError, ExportError
from kerasvision.export import open_file, saved_model, to_saved_model


@pytest.fixture(scope="module")
def folder(source, tmp_path_factory):
    return to_saved_model(source, tmp_path_factory.mktemp("saved") / "model").path


@pytest.fixture(scope="module")
def loaded(folder):
    import tensorflow as tf

    return tf.saved_model.load(str(folder))


def _encoded(pixels, kind="PNG", **options):
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, kind, **options)
    return stream.getvalue()


def test_arrays_of_bytes_and_floats_are_served(loaded, source):
    for images in (source.images, source.images.astype(np.float32)):
        answer = loaded.serve(images)
        np.testing.assert_allclose(answer["probabilities"], source.reference, atol=1e-6)
        np.testing.assert_array_equal(answer["class_id"], source.reference.argmax(1))
    names = [label.decode() for label in answer["label"].numpy()]
    assert names == [CLASSES[index] for index in source.reference.argmax(1)]


def test_each_weight_is_stored_once(folder, source):
    stored = sum(file.stat().st_size for file in (folder / "variables").glob("variables.data-*"))
    wanted = 4 * source.model.count_params()
    assert wanted <= stored < 1.5 * wanted


def test_encoded_photos_are_served(loaded, source):
    import tensorflow as tf

    encoded = tf.constant([_encoded(image) for image in source.images[:8]])
    answer = loaded.serve_bytes(encoded)
    np.testing.assert_allclose(answer["probabilities"], source.reference[:8], atol=1e-6)
    assert set(loaded.signatures) >= {"serve", "serve_bytes", "preprocess", "serving_default"}


@pytest.mark.parametrize("resize", ["stretch", "crop", "pad"])
@pytest.mark.parametrize("size", [(47, 90), (91, 33), (20, 31), (200, 180)])
def test_photos_of_other_sizes_are_resized_as_preprocessing_does(resize, size, rng):
    import tensorflow as tf

    small = rng.integers(0, 256, (9, 12, 3), dtype=np.uint8)
    photo = np.asarray(Image.fromarray(small).resize(size[::-1], Image.Resampling.BICUBIC))
    settings = Preprocessing((SIZE, 40), resize)
    found = saved_model._read(tf.constant(_encoded(photo)), settings)[0].numpy().astype(int)
    difference = np.abs(found - settings.read(photo))
    # reducing_gap of Pillow shrinks the 200 x 180 photo in two steps, which differs a little more
    assert difference.max() <= (3 if size == (200, 180) else 1)
    assert difference.mean() <= 0.35


@pytest.mark.parametrize(
    "kind, options, largest",
    [
        ("JPEG", {"quality": 90}, 1),
        ("JPEG", {"quality": 60, "subsampling": 2}, 1),
        ("BMP", {}, 1),
        ("GIF", {}, 1),
    ],
)
def test_other_formats_are_decoded(kind, options, largest):
    import tensorflow as tf

    smooth = np.asarray(Image.fromarray(pictures(1, seed=0)[0][0, :6, :6]).resize((SIZE, SIZE)))
    data = _encoded(smooth, kind, **options)
    found = saved_model._read(tf.constant(data), Preprocessing(SIZE))[0].numpy().astype(int)
    assert np.abs(found - Preprocessing(SIZE).read(data)).max() <= largest


def test_the_runner_keeps_the_model_and_knows_labels_and_preprocessing(folder, source):
    import gc

    runner = open_file(folder)
    gc.collect()
    assert runner.labels == CLASSES
    assert runner.preprocessing == source.preprocessing
    np.testing.assert_allclose(runner(source.images), source.reference, atol=1e-6)


def test_wrong_resizing_fails_the_certificate(source, tmp_path, monkeypatch):
    import tensorflow as tf

    def aliased(photo, factors, shift, size, *, antialias=True):
        return tf.raw_ops.ScaleAndTranslate(
            images=photo[None],
            size=size,
            scale=factors,
            translation=shift,
            kernel_type="box",
            antialias=False,
        )[0]

    monkeypatch.setattr(saved_model, "scaled", aliased)
    with pytest.raises(CertificateError, match="preprocess: pixels differ from Preprocessing.read"):
        to_saved_model(source, tmp_path / "model")
    assert not list(tmp_path.iterdir())


def test_a_route_that_scales_twice_fails_the_certificate(source, tmp_path, monkeypatch):
    read = saved_model._read

    def halved(photo, settings):
        pixels, place = read(photo, settings)
        return pixels // 2, place

    monkeypatch.setattr(saved_model, "_read", halved)
    with pytest.raises(CertificateError, match="serve_bytes: a probability differs"):
        to_saved_model(source, tmp_path / "model")


def test_a_folder_of_the_user_is_not_replaced_but_ours_is(source, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years")
    with pytest.raises(ExportError, match="not one of our exports"):
        to_saved_model(source, tmp_path / "mine")
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "years"
    (tmp_path / "empty").mkdir()
    first = to_saved_model(source, tmp_path / "empty")
    other = dataclasses.replace(source, labels=("x", "y", "z"))
    second = to_saved_model(other, tmp_path / "empty")
    assert first.certificate.sha256 != second.certificate.sha256
    assert open_file(second.path).labels == ("x", "y", "z")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "empty.certificate.json", "mine"]
