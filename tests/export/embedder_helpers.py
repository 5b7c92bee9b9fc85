"""A small trained embedder, drawn flags for it, and its source."""

import keras
import numpy as np
from detector_helpers import backbone

from kerasvision.data.preprocessing import Preprocessing
from kerasvision.embedding import embedder
from kerasvision.export import EmbeddingSource
from kerasvision.metrics import verify_embeddings

SIZE, DIMENSIONS, FALSE_ACCEPTS = 32, 16, 0.05
_TRAINED, _HELD_OUT, _EACH = range(24), range(24, 36), 8


def flags(identities, each: int = _EACH) -> tuple[np.ndarray, np.ndarray]:
    """Return uint8 pictures of flags of three stripes, and whose they are: an identity is three colours.

    Each picture is moved, lit and noisy in its own way.
    """
    images, labels = [], []
    for identity in identities:
        colours = np.random.default_rng((1, identity)).integers(0, 256, (3, 3))
        rng = np.random.default_rng((2, identity))
        for _ in range(each):
            edges = np.array([1, 2]) * SIZE // 3 + rng.integers(-3, 4, 2)
            stripe = np.searchsorted(edges, np.arange(SIZE), side="right")
            picture = colours[stripe][:, None] * rng.uniform(0.75, 1.1) + rng.normal(0, 20, (SIZE, SIZE, 3))
            images.append(np.clip(picture, 0, 255).astype(np.uint8))
            labels.append(identity)
    return np.stack(images), np.array(labels)


def small_embedder(*, epochs: int = 12, seed: int = 0, name: str = "flags", **options) -> keras.Model:
    """Return an embedder that learned to name the training identities, so that its vectors are apart."""
    keras.utils.set_random_seed(seed)
    model = embedder(
        backbone(), image_size=SIZE, preprocessing="zero_one", **{"dimensions": DIMENSIONS, **options}
    )
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.8
    images, labels = flags(_TRAINED)
    names = keras.layers.Dense(len(_TRAINED), use_bias=False)(keras.layers.Rescaling(8.0)(model.output))
    trained = keras.Model(model.input, names)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    trained.compile(keras.optimizers.Adam(3e-3), loss)
    trained.fit(images.astype(np.float32), labels, batch_size=16, epochs=epochs, verbose=0)
    return keras.Model(model.input, model.output, name=name)


def source_of(model: keras.Model, distance: str = "euclidean", **changes) -> EmbeddingSource:
    """Return the source of an embedder, at the threshold that accepts one impostor pair in twenty."""
    images, identities = flags(_HELD_OUT)
    vectors = model.predict(images.astype(np.float32), verbose=0)
    found = verify_embeddings(
        vectors, identities, distance=distance, false_accept_rates=(FALSE_ACCEPTS,), repeats=0
    )
    values = {
        "model": model,
        "preprocessing": Preprocessing(SIZE),
        "calibration": flags(_TRAINED, each=3)[0],
        "images": images,
        "identities": identities,
        "distance": distance,
        # Beyond the distance of any pair, so that rounding decides none.
        "threshold": found.threshold_at(FALSE_ACCEPTS) * (1 + 1e-5),
        "false_accept_rate": FALSE_ACCEPTS,
    }
    return EmbeddingSource(**(values | changes))
