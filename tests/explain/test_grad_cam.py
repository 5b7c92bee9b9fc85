"""Grad-CAM against its closed form, a slow reference, and pictures where the evidence is known."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from kerasvision.explain import gradcam
from kerasvision.models import classifier


def colour_net(side=24, activation="softmax", tail="dense"):
    """Classes red, green, blue: each looks only for its own colour, and finds it wherever it is."""
    image = keras.Input((side, side, 3))
    x = layers.Conv2D(3, 1, activation="relu", name="colours")(layers.Rescaling(1 / 255)(image))
    x = layers.AveragePooling2D(2, name="small")(x)
    x = layers.GlobalAveragePooling2D()(x)
    if tail == "dense":
        x = layers.Dense(3, activation=activation, name="predictions")(x)
    else:
        x = layers.Dense(3, name="predictions")(x)
        x = {"activation": layers.Activation(activation), "layer": layers.Softmax()}[tail](x)
    model = keras.Model(image, x, name="colours")
    # One channel a colour: its own value less the two others.
    model.get_layer("colours").set_weights([(2 * np.eye(3) - 1)[None, None], np.zeros(3)])
    model.get_layer("predictions").set_weights([30 * np.eye(3), np.zeros(3)])
    return model


def blobs(places, side=24):
    """One picture with a blob of 6 px of each colour at its place (top, left)."""
    picture = np.zeros((side, side, 3), "uint8")
    for colour, (top, left) in enumerate(places):
        picture[top : top + 6, left : left + 6, colour] = 255
    return picture


PLACES = [((0, 0), (0, 16), (16, 8)), ((18, 18), (2, 2), (10, 2)), ((8, 8), (16, 16), (0, 0))]


@pytest.mark.parametrize("places", PLACES)
@pytest.mark.parametrize("colour", range(3))
def test_heat_lies_on_the_evidence(places, colour):
    (heat,) = gradcam(colour_net(), blobs(places)[None], classes=colour)
    top, left = places[colour]
    inside, around = np.zeros_like(heat, bool), np.zeros_like(heat, bool)
    inside[top : top + 6, left : left + 6] = True
    around[max(0, top - 2) : top + 8, max(0, left - 2) : left + 8] = True  # what bilinear resizing may reach
    assert heat.dtype == np.float32 and heat.shape == (24, 24) and heat.max() == 1 and heat.min() == 0
    assert heat[inside].min() > 0.5 and heat[~around].max() == 0


def test_default_is_the_predicted_class():
    pictures = np.stack([blobs(PLACES[0]) for _ in range(3)])
    for colour, picture in enumerate(pictures):
        picture[..., colour][6:12, 6:12] = 255  # more of one colour
    model = colour_net()
    predicted = model(pictures).numpy().argmax(axis=1)
    assert list(predicted) == [0, 1, 2]
    np.testing.assert_array_equal(gradcam(model, pictures), gradcam(model, pictures, classes=[0, 1, 2]))
    assert np.abs(gradcam(model, pictures) - gradcam(model, pictures, classes=0))[1:].max() > 0.5


@pytest.mark.parametrize(
    "tail, activation",
    [("dense", "softmax"), ("dense", "sigmoid"), ("dense", None), ("activation", "softmax"), ("layer", None)],
)
def test_saturated_probabilities_do_not_matter(tail, activation):
    """The logit counts: the last activation changes nothing, however sure the model is."""
    expected = gradcam(colour_net(activation=None), blobs(PLACES[0])[None], classes=1)
    model = colour_net(activation=activation, tail=tail)
    np.testing.assert_allclose(gradcam(model, blobs(PLACES[0])[None], classes=1), expected, atol=1e-6)
    predictions = model.get_layer("predictions")
    predictions.set_weights([1e4 * np.eye(3), np.zeros(3)])
    np.testing.assert_allclose(gradcam(model, blobs(PLACES[0])[None], classes=1), expected, atol=1e-6)


def test_closed_form_for_average_pooling(rng):
    """With average pooling and one Dense layer, Grad-CAM is the class activation map: relu(maps @ kernel)."""
    image = keras.Input((9, 7, 3))
    maps = layers.Conv2D(5, 3, padding="same", activation="relu")(image)
    outputs = layers.Dense(4, activation="softmax")(layers.GlobalAveragePooling2D()(maps))
    model, inner = keras.Model(image, outputs), keras.Model(image, maps)
    images = rng.normal(size=(6, 9, 7, 3)).astype("float32")
    classes = rng.integers(0, 4, 6)
    heat = np.maximum(
        np.einsum("nhwc,cn->nhw", inner(images), model.layers[-1].kernel.numpy()[:, classes]), 0
    )
    peak = heat.max(axis=(1, 2), keepdims=True)
    expected = np.divide(heat, peak, out=np.zeros_like(heat), where=peak > 0)
    np.testing.assert_allclose(gradcam(model, images, classes=classes), expected, atol=1e-5)


def slow_reference(model, layer, images, classes):
    """One image at a time, the gradient by a model of two outputs; logits by a copy of the last layer."""
    last = model.layers[-1]
    logits = layers.Dense(last.units, name="logits")
    both = keras.Model(model.input, [model.get_layer(layer).output, logits(last.input)])
    logits.set_weights(last.get_weights())
    heats = []
    for image, number in zip(images, classes, strict=True):
        with tf.GradientTape() as tape:
            maps, scores = both(image[None])
            score = scores[0, number]
        weights = tape.gradient(score, maps)[0].numpy().mean(axis=(0, 1))
        heat = np.maximum((maps[0].numpy() * weights).sum(axis=-1), 0)
        heat = tf.image.resize(heat[..., None], image.shape[:2]).numpy()[..., 0]
        heats.append(heat / heat.max() if heat.max() > 0 else heat)
    return np.array(heats)


NETWORKS = {
    "resnet_small": ({"width": 8}, 24, "stage3_block1_out", "stage2_block1_1_conv"),
    "mobilenet_v2": ({"alpha": 0.35}, 64, "out_relu", "block_5_project"),
    "resnet50": ({}, 64, "conv5_block3_out", "conv4_block2_2_conv"),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_against_the_slow_reference(name, rng):
    keras.utils.set_random_seed(0)
    options, side, last, inside = NETWORKS[name]
    model = classifier(name, classes=4, image_size=side, **options)
    images = rng.integers(0, 256, (3, side, side, 3), dtype="uint8")
    classes = [3, 0, 1]
    expected = slow_reference(model, last, images.astype("float32"), classes)
    np.testing.assert_allclose(gradcam(model, images, classes), expected, atol=1e-4)
    expected = slow_reference(
        model, inside, images.astype("float32"), classes
    )  # within a residual branch too
    np.testing.assert_allclose(gradcam(model, images, classes, layer=inside), expected, atol=1e-4)


def test_batches_and_types_give_the_same(rng):
    model = classifier("resnet_small", classes=3, image_size=16, width=4)
    images = rng.integers(0, 256, (7, 16, 16, 3), dtype="uint8")
    whole = gradcam(model, images, batch_size=7)
    np.testing.assert_allclose(gradcam(model, images, batch_size=3), whole, atol=1e-5)
    np.testing.assert_array_equal(gradcam(model, images.astype("float64"), batch_size=7), whole)
    assert gradcam(model, images[:0]).shape == (0, 16, 16)


def test_model_with_a_nested_backbone(rng):
    inner = keras.Sequential([keras.Input((12, 12, 3)), layers.Conv2D(4, 3, activation="relu")])
    image = keras.Input((12, 12, 3))
    model = keras.Model(image, layers.Dense(2)(layers.GlobalAveragePooling2D()(inner(image))))
    flat = keras.Sequential(
        [keras.Input((12, 12, 3)), *inner.layers, layers.GlobalAveragePooling2D(), model.layers[-1]]
    )
    images = rng.normal(size=(2, 12, 12, 3)).astype("float32")
    np.testing.assert_allclose(gradcam(model, images, 1), gradcam(flat, images, 1), atol=1e-6)


def test_one_output_and_no_evidence():
    image = keras.Input((8, 8, 3))
    x = layers.Conv2D(1, 1, use_bias=False, kernel_initializer="ones")(image)
    model = keras.Model(image, layers.Dense(1, activation="sigmoid")(layers.GlobalAveragePooling2D()(x)))
    model.layers[-1].set_weights([np.array([[1.0]]), np.zeros(1)])
    bright = np.zeros((1, 8, 8, 3))
    bright[0, 2:4, 5:7] = 200
    (heat,) = gradcam(model, bright)
    np.testing.assert_array_equal(heat, bright[0, ..., 0] / 200)
    model.layers[-1].set_weights([np.array([[-1.0]]), np.zeros(1)])
    assert not gradcam(model, bright).any()  # everything speaks against the class


def test_mixed_precision(rng):
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = classifier("resnet_small", classes=3, image_size=16, width=4)
    finally:
        keras.config.set_dtype_policy("float32")
    heat = gradcam(model, rng.integers(0, 256, (2, 16, 16, 3), dtype="uint8"))
    assert heat.dtype == np.float32 and np.isfinite(heat).all() and set(heat.max(axis=(1, 2))) <= {0.0, 1.0}


def test_the_model_is_left_as_it_was(rng):
    model = classifier("resnet_small", classes=3, image_size=16, width=4)
    before = [weight.copy() for weight in model.get_weights()]
    gradcam(model, rng.integers(0, 256, (2, 16, 16, 3), dtype="uint8"))
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))
    assert model.get_layer("predictions").activation is keras.activations.softmax


def dense_only():
    return keras.Sequential([keras.Input((24, 24, 3)), layers.Flatten(), layers.Dense(3)])


@pytest.mark.parametrize(
    "model, arguments, message",
    [
        (
            colour_net,
            {"images": np.zeros((24, 24, 3))},
            r"`images` must be of shape \(n, 24, 24, 3\).*\(24, 24, 3\)",
        ),
        (colour_net, {"images": np.zeros((1, 32, 32, 3))}, r"`images` must be.*\(1, 32, 32, 3\)"),
        (colour_net, {"classes": 3}, "`classes` must be from 0 to 2"),
        (colour_net, {"classes": [0, -1]}, "`classes` must be from 0 to 2"),
        (colour_net, {"classes": [0, 1, 2]}, "one for each of the 2 images"),
        (colour_net, {"classes": 0.5}, "`classes` must be a class number"),
        (colour_net, {"layer": "colour"}, "no layer 'colour'.*colours"),
        (colour_net, {"layer": "predictions"}, "feature maps.*'predictions' gives"),
        (dense_only, {}, "has no feature map|convolutional network"),
        (lambda: "resnet50", {}, "`model` must be a keras.Model.*str"),
    ],
)
def test_errors(model, arguments, message):
    with pytest.raises(ValueError, match=message):
        gradcam(model(), **{"images": np.zeros((2, 24, 24, 3)), **arguments})


def test_model_without_one_vector_of_classes():
    model = colour_net()
    maps = keras.Model(model.input, model.get_layer("colours").output)
    with pytest.raises(ValueError, match=r"one output \(batch, classes\)"):
        gradcam(maps, np.zeros((1, 24, 24, 3)))
