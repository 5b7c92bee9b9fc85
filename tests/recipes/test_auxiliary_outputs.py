"""Auxiliary outputs: trained by the recipe, and nowhere else."""

import keras
import numpy as np
import pytest
from segmenter_training import scenes, train

from kerasvision.recipes import segmentation
from kerasvision.segmentation import make_loss

PSPNET = {
    "model": "pspnet",
    "options": {"filters": 16, "auxiliary_filters": 16, "output_stride": 16, "dropout": 0.0},
    "strategy": "scratch",
    "freeze_epochs": None,
    "epochs": 2,
}


@pytest.fixture(scope="module")
def data():
    return scenes(count=24)


def test_pspnet_is_trained_with_its_auxiliary_output_which_the_run_has_not(data, tmp_path, monkeypatch):
    kept = {}

    def build(job, of=segmentation.build_segmenter):
        kept["model"] = of(job)
        kept["before"] = [weight.numpy() for weight in auxiliary_of(kept["model"])]
        return kept["model"]

    monkeypatch.setattr(segmentation, "build_segmenter", build)
    run = train(data, tmp_path / "run", **PSPNET)
    trained, before = auxiliary_of(kept["model"]), kept["before"]
    assert len(trained) == len(before) == 5  # a kernel, BatchNorm's two, and the scores' kernel and bias
    assert all(np.abs(weight.numpy() - old).max() > 0 for weight, old in zip(trained, before, strict=True))
    assert not any("auxiliary" in layer.name for layer in run.model.layers)
    assert run.model.output_shape == (None, 64, 64, 3)
    assert run.record["decided"]["parameters"] == run.model.count_params() < kept["model"].count_params()
    assert not isinstance(keras.saving.load_model(tmp_path / "run" / "model.keras").output, dict)
    # What validation judged by is the loss of the logits alone.
    best = max(run.history, key=lambda row: row["val_mean_iou"])
    loss = make_loss("cross_entropy")
    losses = [loss(maps, run.model(images, training=False)) for images, maps in data.validation]
    assert float(best["val_loss"]) == pytest.approx(float(np.mean(np.concatenate(losses))), rel=1e-4)


def auxiliary_of(model):
    return [weight for weight in model.trainable_variables if "auxiliary" in weight.path]
