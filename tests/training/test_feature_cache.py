import keras
import numpy as np
import pytest

from kerasvision.data import augmentation, shapes
from kerasvision.errors import KerasvisionError
from kerasvision.models import classifier, feature_extractor
from kerasvision.training import Engine, FeatureCache, choose_engine, make_engine


@pytest.fixture(scope="module")
def extractor():
    keras.utils.set_random_seed(0)
    model = classifier("resnet_small", classes=3, image_size=32)
    for layer in model.layers:  # BatchNorm with something to fold
        if isinstance(layer, keras.layers.BatchNormalization):
            rng = np.random.default_rng(len(layer.name))
            layer.set_weights([np.abs(w + 0.3 * rng.normal(size=w.shape)) for w in layer.get_weights()])
    return feature_extractor(model)


@pytest.fixture(scope="module")
def data():
    return shapes(count=100, classes=3, image_size=32)


class Counting:
    """An engine that counts images and can break off."""

    def __init__(self, stop_after=None):
        self.images, self.stop_after = 0, stop_after

    def __call__(self, images):
        if self.stop_after is not None and self.images >= self.stop_after:
            raise KeyboardInterrupt
        self.images += len(images)
        return images.reshape(len(images), -1)[:, :7].astype(np.float32) / 255


def _engine(run):
    return Engine("graph", "test", run)


@pytest.mark.parametrize("engine", ["graph", "litert"])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_engines_give_the_features_of_keras(extractor, data, engine, dtype):
    images = data.images("train", range(13)).astype(dtype)
    wanted = np.array(extractor(images.astype(np.float32), training=False))
    found = make_engine(extractor, 13, engine).run(images)
    assert np.abs(wanted).max() > 0.1
    np.testing.assert_allclose(found, wanted, atol=1e-4 * np.abs(wanted).max())


def test_features_lie_in_the_order_of_the_split(tmp_path, data):
    features = FeatureCache(tmp_path).get(_engine(Counting()), data, "train", key={})
    images = data.images("train", range(80))
    np.testing.assert_array_equal(features.values, Counting()(images))
    np.testing.assert_array_equal(features.targets.argmax(1), data.splits["train"].labels)


def test_views_are_the_image_itself_and_augmented_ones(tmp_path, data):
    augment = augmentation("flip+mixup", strength=1.0, seed=3)
    cache = FeatureCache(tmp_path)
    features = cache.get(_engine(Counting()), data, "train", key={"a": 1}, augmentation=augment, views=3)
    assert features.values.shape == (240, 7)
    views = features.values.reshape(3, 80, 7)
    np.testing.assert_array_equal(views[0], Counting()(data.images("train", range(80))))
    assert np.abs(views[1] - views[0]).max() > 0.1
    assert np.abs(views[2] - views[1]).max() > 0.1
    np.testing.assert_allclose(features.targets.sum(1), 1, atol=1e-5)
    assert (features.targets[80:].max(1) < 0.999).any()  # MixUp


@pytest.mark.parametrize("views", [1, 3])
def test_interrupted_it_goes_on_and_ends_the_same(tmp_path, data, views, monkeypatch):
    monkeypatch.setattr("kerasvision.training.feature_cache.MARK_SECONDS", 0.0)
    augment = augmentation("flip+crop", seed=3) if views > 1 else None
    arguments = {"key": {"a": 1}, "augmentation": augment, "views": views}
    whole = FeatureCache(tmp_path / "a").get(_engine(Counting()), data, "train", **arguments)
    with pytest.raises(KeyboardInterrupt):
        FeatureCache(tmp_path / "b").get(_engine(Counting(40 * views)), data, "train", **arguments)
    rest = Counting()
    again = FeatureCache(tmp_path / "b").get(_engine(rest), data, "train", **arguments)
    assert 0 < rest.images <= 80 * views - 40 * views
    np.testing.assert_array_equal(again.values, whole.values)
    np.testing.assert_array_equal(again.targets, whole.targets)


def test_a_finished_file_is_used_and_another_key_makes_it_anew(tmp_path, data):
    cache, counts = FeatureCache(tmp_path), []
    for key in ({"weights": "a"}, {"weights": "a"}, {"weights": "b"}):
        engine = Counting()
        cache.get(_engine(engine), data, "train", key=key)
        counts.append(engine.images)
    assert counts == [80, 0, 80]


def test_rows_beyond_the_marker_are_not_trusted(tmp_path, data):
    cache = FeatureCache(tmp_path)
    whole = np.array(cache.get(_engine(Counting()), data, "train", key={}).values)
    path = tmp_path / "train.features"
    path.write_bytes(path.read_bytes()[:-4])  # one number short: a disk that lied
    engine = Counting()
    again = cache.get(_engine(engine), data, "train", key={})
    assert engine.images == 80
    np.testing.assert_array_equal(again.values, whole)


@pytest.mark.parametrize(("images", "wanted"), [(10, "graph"), (10_000_000, "litert")])
def test_auto_weighs_conversion_against_what_it_saves(extractor, images, wanted):
    name, why = choose_engine(extractor, images)
    assert name == wanted
    assert f"{images:,} images" in why


def test_engine_refuses_others(extractor):
    with pytest.raises(
        KerasvisionError, match='`engine` must be "auto", "litert" or "graph". Received: \'gpu\''
    ):
        choose_engine(extractor, 10, "gpu")
