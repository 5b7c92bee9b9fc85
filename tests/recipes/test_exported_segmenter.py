"""Files of segmenters find and judge as the network does that they were made from."""

import keras
import numpy as np
import pytest
from PIL import Image

from kerasvision.data import Preprocessing
from kerasvision.data import shapes as drawn
from kerasvision.errors import KerasvisionError
from kerasvision.export import SegmentationSource, export_segmenter
from kerasvision.metrics.segmentation import VOID
from kerasvision.recipes import ExportedSegmenter, open_exported
from kerasvision.recipes.label_network import LabelNetwork, label_photos
from kerasvision.recipes.viewing import Viewing

SIZE = 48


@pytest.fixture(scope="module")
def source() -> SegmentationSource:
    """Return a segmenter by colour with weights that are far from each other, and photos."""
    keras.utils.set_random_seed(0)
    image = keras.Input((SIZE, SIZE, 3))
    x = keras.layers.Conv2D(8, 5, strides=2, padding="same", activation="relu")(image)
    logits = keras.layers.UpSampling2D(2, interpolation="bilinear")(keras.layers.Conv2D(3, 1)(x))
    model = keras.Model(image, logits, name="rough")
    rng = np.random.default_rng(0)
    small = rng.integers(0, 256, (16, 6, 6, 3)).astype(np.uint8)
    images = np.stack([np.asarray(Image.fromarray(one).resize((SIZE, SIZE))) for one in small])
    values = model.predict(images.astype(np.float32), verbose=0)
    kernel, bias = model.layers[2].get_weights()
    model.layers[2].set_weights([kernel / 20, bias - values.mean((0, 1, 2)) / 20])
    labels = ("ground", "tree", "sky")
    return SegmentationSource(model, labels, Preprocessing(SIZE, "crop"), images, images)


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(1)
    for index, size in enumerate([(90, 60), (60, 60), (33, 100)]):
        Image.fromarray(rng.integers(0, 256, (7, 9, 3)).astype(np.uint8)).resize(size).save(
            folder / f"{index}.png"
        )
    return folder


@pytest.mark.parametrize("output", ["probabilities", "logits", "labels"])
@pytest.mark.parametrize("kind", ["tflite", "saved_model"])
def test_it_finds_what_the_network_finds(source, photos, output, kind, tmp_path):
    (file,) = export_segmenter(source, tmp_path, formats=(kind,), output=output).files
    opened = open_exported(file.path)
    assert isinstance(opened, ExportedSegmenter)
    assert (opened.labels, opened.preprocessing) == (source.labels, source.preprocessing)
    network = LabelNetwork.of_model(source.model, source.preprocessing)
    paths, wanted = sorted(photos.glob("*.png")), {}
    names = [str(path) for path in paths]
    for viewing in (Viewing(), Viewing(flip=True), Viewing("sliding", 0.5, False, (1.0, 1.5))):
        if output == "labels" and not viewing.plain:
            continue
        wanted |= dict(label_photos(network, paths, names, viewing=viewing))
        found = opened.predict(
            paths, mode=viewing.mode, overlap=viewing.overlap, flip=viewing.flip, scales=viewing.scales
        )
        for index, one in enumerate(found):
            assert one.size == Image.open(paths[index]).size[::-1]
            same = one.labels == wanted[index]
            assert same.mean() > (0.9 if output == "labels" else 0.999)
            assert len(np.unique(one.labels[one.labels != VOID])) > 1
        assert (found[0].labels == VOID).any() == (viewing.mode == "whole"), "crop hides a part"
    assert opened.draw(paths[0]).size == (90, 60)


def test_it_judges(source, tmp_path):
    data = drawn("segment", count=24, image_size=SIZE)
    labels = tuple(data.class_names)
    image = keras.Input((SIZE, SIZE, 3))
    model = keras.Model(image, keras.layers.Conv2D(len(labels), 1)(image))
    made = SegmentationSource(model, labels, data.preprocessing, source.images, source.images)
    (file,) = export_segmenter(made, tmp_path, formats=("tflite",)).files
    judged = open_exported(file.path).evaluate(data)
    assert judged.class_names == labels and 0 <= judged.mean_iou < 0.5


def test_windows_need_answers_in_their_own_size(source, photos, tmp_path):
    (file,) = export_segmenter(source, tmp_path, formats=("tflite",), output_size=24).files
    opened = open_exported(file.path)
    assert opened.predict(photos)[0].size == (60, 90)
    with pytest.raises(KerasvisionError, match='`mode` must be "whole"'):
        opened.predict(photos, mode="sliding")
    with pytest.raises(KerasvisionError, match="`scales` must be"):
        opened.predict(photos, scales=(0.5,))


def test_a_file_without_names_is_numbered(source, tmp_path):
    source.model.save(tmp_path / "m.keras")
    assert open_exported(tmp_path / "m.keras").labels == ("class 0", "class 1", "class 2")
