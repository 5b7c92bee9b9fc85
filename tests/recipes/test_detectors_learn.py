"""Detectors learn to find drawn shapes from scratch, through the whole recipe."""

import keras
import pytest
from detector_training import backbone

from kerasvision.data import shapes
from kerasvision.recipes import train_detector

FAMILIES = {
    # "auto" takes a network of one's own for a trained one, which is why normalisation is asked for here.
    "retinanet": {"learning_rate": 3e-3, "epochs": 25, "batch_size": 8, "options": {"batchnorm": True}},
    "ssd300": {"learning_rate": 3e-3, "epochs": 40, "batch_size": 8},
    "yolo_v8_xs": {"learning_rate": 4e-3, "epochs": 25},
    "yolo_v1": {"learning_rate": 3e-3, "epochs": 60, "options": {"channels": 64}},
}


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", FAMILIES)
def test_from_scratch_to_ap50_above_nine_tenths(name, tmp_path):
    keras.utils.set_random_seed(0)
    data = shapes("detect", count=600, classes=3, image_size=96, validation_fraction=0.15, batch_size=16)
    run = train_detector(
        data,
        tmp_path / "run",
        model=name,
        **FAMILIES[name],
        backbone=backbone(),
        preprocessing="zero_one",
        rehearse_export=False,
    )
    assert run.judgement.ap50 > 0.9
