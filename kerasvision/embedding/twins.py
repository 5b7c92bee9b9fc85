"""Networks that compare: one embedder, called once for each image, and the distances between its vectors."""

import keras
from keras import layers, ops

from kerasvision.embedding.distances import Distance
from kerasvision.errors import KerasvisionError
from kerasvision.metrics.embedding_distances import check_distance
from kerasvision.models import graph

SIAMESE, TRIPLET = ("first", "second"), ("anchor", "positive", "negative")


def SiameseNetwork(
    embedder: keras.Model, *, distance: Distance = "euclidean", name: str = "siamese"
) -> keras.Model:
    """Build a network that gives the distance between two images, on the layers of an embedder.

    Train it with `contrastive_loss`, and the embedder is trained with it: they have the same weights.
    Mining over whole batches (`make_loss`) compares far more pairs for the same work.

    Args:
        embedder: flat functional model of one image input and one output (b, d), as
            `kerasvision.embedding.embedder` makes it.
        distance: `"euclidean"`, `"squared"`, or `"cosine"`, as in `paired_distances`.
        name: name of the model.

    Returns:
        A flat functional model of two inputs, `first` and `second`, images as the embedder takes them ->
        `distance`, (b,) float32. It loads without this package where the embedder does.

    Raises:
        KerasvisionError: the embedder has other inputs or outputs, or the distance is not known.

    Bromley et al., Signature verification using a siamese time delay neural network, 1993.

    >>> from kerasvision.embedding import embedder
    >>> twins = SiameseNetwork(embedder("resnet_small", image_size=32))
    >>> [tensor.name for tensor in twins.inputs], twins.output_shape
    (['first', 'second'], (None,))
    """
    check_distance(distance)
    inputs, vectors = _calls(embedder, SIAMESE)
    apart = _distance(*vectors, distance)
    return keras.Model(
        inputs, layers.Activation("linear", dtype="float32", name="distance")(apart), name=name
    )


def TripletNetwork(
    embedder: keras.Model, *, distance: Distance = "euclidean", name: str = "triplet"
) -> keras.Model:
    """Build a network that gives the distances of an image to one of its identity and to one of another.

    Args:
        embedder: as for `SiameseNetwork`.
        distance: likewise.
        name: name of the model.

    Returns:
        A flat functional model of three inputs, `anchor`, `positive` and `negative` -> `distances`, (b, 2)
        float32: to the positive, to the negative. The triplet loss is
        `maximum(distances[:, 0] - distances[:, 1] + margin, 0)`.

    Raises:
        KerasvisionError: the embedder has other inputs or outputs, or the distance is not known.

    Hoffer and Ailon, Deep metric learning using triplet network, 2015, https://arxiv.org/abs/1412.6622.
    """
    check_distance(distance)
    inputs, (anchor, *others) = _calls(embedder, TRIPLET)
    apart = ops.stack([_distance(anchor, other, distance) for other in others], axis=-1)
    return keras.Model(
        inputs, layers.Activation("linear", dtype="float32", name="distances")(apart), name=name
    )


def embedder_of(model: keras.Model) -> keras.Model:
    """Return the embedder inside a siamese or triplet network, sharing its layers.

    Args:
        model: what `SiameseNetwork` or `TripletNetwork` returned (also after saving and loading).

    Returns:
        A flat functional model: `image` -> `embedding`.

    Raises:
        ValueError: there is no layer `embedding` in it.
    """
    vector = graph.output_of(model, "embedding")
    (source,) = graph.sources(vector)
    image = layers.Input(source.shape[1:], dtype=source.dtype, name="image")
    return keras.Model(
        image, graph.replay(model, {id(source): image})[id(vector)], name=f"{model.name}_embedder"
    )


def _calls(embedder: keras.Model, names: tuple[str, ...]) -> tuple[list, list]:
    """Return an input of each name, and the embedder's output on each."""
    inside = graph.functional(embedder)
    if len(inside.inputs) != 1 or len(inside.outputs) != 1 or len(inside.outputs[0].shape) != 2:
        raise KerasvisionError(
            f"`embedder` must have one image input and one output (b, d). {embedder.name!r} has "
            f"{len(inside.inputs)} inputs and outputs of {[tuple(t.shape) for t in inside.outputs]}."
        )
    if not graph.is_flat(embedder):
        raise KerasvisionError(
            f"`embedder` {embedder.name!r} has models nested inside. Build it with "
            "kerasvision.embedding.embedder, which opens them."
        )
    (source,), (vector,) = inside.inputs, inside.outputs
    inputs = [layers.Input(source.shape[1:], dtype=source.dtype, name=name) for name in names]
    return inputs, [graph.replay(inside, {id(source): image})[id(vector)] for image in inputs]


def _distance(first, second, distance: Distance):
    """Return the distance of each pair, (b,), as `paired_distances`, of operations that Keras can save."""
    first, second = (ops.cast(x, "float32") if x.dtype != "float32" else x for x in (first, second))
    if distance == "cosine":
        first, second = ops.normalize(first, axis=-1), ops.normalize(second, axis=-1)
    square = ops.sum(ops.square(first - second), axis=-1)
    if distance == "euclidean":
        # 0 where the square is, and so is its gradient.
        above = square > 0
        return ops.where(above, ops.sqrt(ops.where(above, square, 1.0)), 0.0)
    return 0.5 * square if distance == "cosine" else square
