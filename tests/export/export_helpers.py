"""Pictures and networks that the export tests share."""

import numpy as np

CLASSES = ("red thing", "green thing", "chose bleutée")
SIZE = 32


def pictures(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return noisy uint8 pictures in which one of three colours is stronger, and their classes."""
    rng = np.random.default_rng(seed)
    targets = np.arange(count) % 3
    images = rng.integers(20, 170, (count, SIZE, SIZE, 3))
    images[np.arange(count), :, :, targets] += rng.integers(5, 70, (count, 1, 1))
    return images.astype(np.uint8), targets.astype(np.int32)


def build_model(seed: int = 0, scale: float = 1 / 127.5, offset: float = -1.0):
    """Return a small convolutional classifier with preprocessing in the graph and BatchNorm to fold."""
    import keras
    from keras import layers

    keras.utils.set_random_seed(seed)
    image = keras.Input((SIZE, SIZE, 3), name="image")
    x = layers.Rescaling(scale, offset, name="preprocessing")(image)
    x = layers.Conv2D(16, 3, strides=2, padding="same", use_bias=False, name="conv1")(x)
    x = layers.BatchNormalization(name="bn1")(x)
    x = layers.ReLU(name="relu1")(x)
    x = layers.DepthwiseConv2D(3, padding="same", use_bias=False, name="depthwise")(x)
    x = layers.BatchNormalization(name="bn2")(x)
    x = layers.ReLU(6.0, name="relu2")(x)
    x = layers.Conv2D(96, 1, name="conv3")(x)
    x = layers.GlobalAveragePooling2D(name="head_pool")(x)
    x = layers.Dense(3, activation="softmax", name="predictions")(x)
    return keras.Model(image, x, name="tiny")


def trained_model():
    """Return it after a few steps of training, far from uniform answers."""
    model = build_model()
    images, targets = pictures(240, seed=1)
    model.compile("adam", "sparse_categorical_crossentropy")
    model.optimizer.learning_rate = 0.01
    model.fit(images.astype("float32"), targets, batch_size=24, epochs=12, verbose=0)
    return model
