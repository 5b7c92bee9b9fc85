"""Small segmenters for tests, and a loop that trains them on all outputs."""

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from kerasvision.segmentation import auxiliary_weights, make_loss, segmenter
from kerasvision.segmentation.families import family_of

BATCH = 20  # images that are judged at once


def small_backbone(filters=(16, 24, 32, 48, 64), convolutions=1):
    """Return a backbone of stride 32: at each stride so many convolutions."""
    x = image = layers.Input((None, None, 3))
    for index, width in enumerate(filters):
        for number in range(convolutions):
            name, stride = f"{index}_{number}", 1 if number else 2
            x = layers.Conv2D(width, 3, strides=stride, padding="same", use_bias=False, name=f"conv_{name}")(
                x
            )
            x = layers.BatchNormalization(momentum=0.9, name=f"bn_{name}")(x)
            x = layers.ReLU(name=f"relu_{name}")(x)
    return keras.Model(image, x, name="small")


def made(name, classes=4, size=64, backbone=None, **options):
    """Return a segmenter on the small backbone, or without one where it has none."""
    if family_of(name).backbone is not None:
        options = {"backbone": backbone or small_backbone(), "preprocessing": "zero_one", **options}
    return segmenter(name, classes=classes, image_size=size, **options)


def training_step(model, optimizer):
    """Return a compiled step: images and label maps -> the loss, with that of the auxiliary outputs."""
    loss, weights = make_loss("cross_entropy"), auxiliary_weights(model)
    optimizer.build(model.trainable_variables)

    @tf.function
    def step(images, maps):
        with tf.GradientTape() as tape:
            outputs = model(tf.cast(images, tf.float32), training=True)
            outputs = outputs if isinstance(outputs, dict) else {"logits": outputs}
            parts = [weights[key] * tf.reduce_mean(loss(maps, found)) for key, found in outputs.items()]
            value = tf.add_n(parts)
        optimizer.apply(tape.gradient(value, model.trainable_variables))
        return value

    return step


def labeller(model):
    """Return a function: images -> the class of each pixel, (n, h, w)."""

    @tf.function
    def answer(images):
        outputs = model(tf.cast(images, tf.float32), training=False)
        return tf.argmax(outputs["logits"] if isinstance(outputs, dict) else outputs, -1)

    return lambda images: np.concatenate(
        [answer(images[start : start + BATCH]).numpy() for start in range(0, len(images), BATCH)]
    )
