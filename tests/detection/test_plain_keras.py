"""Saved detectors are Keras' own layers, also the normalisation with a scale that is learnt."""

import keras
from keras import layers
from small_detectors import check_loads_in_plain_keras, small_ssd, small_yolo

from kerasvision.detection import detector


def small_vgg() -> keras.Model:
    """Return what SSD takes for a VGG, with few channels."""
    x = image = layers.Input((None, None, 3))
    for block in range(1, 6):
        x = layers.Conv2D(8, 3, padding="same", activation="relu", name=f"block{block}_conv1")(x)
        x = layers.MaxPooling2D(2, name=f"block{block}_pool")(x)
    return keras.Model(image, x)


def test_saved_files_load_without_this_package(tmp_path):
    vgg = detector("ssd300", classes=2, image_size=76, backbone=small_vgg(), preprocessing="caffe")
    assert vgg.head.grids[:2] == ((10, 10), (5, 5))
    assert "block4_norm" in {layer.name for layer in vgg.model.layers}
    models = {
        "ssd_vgg": vgg.model,
        "ssd_light": small_ssd(light=True).model,
        "yolo": small_yolo().model,
        "yolo_dense": small_yolo(top="dense", hidden=16).model,
    }
    check_loads_in_plain_keras(models, tmp_path)
