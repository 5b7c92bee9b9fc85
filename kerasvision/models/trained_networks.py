"""Networks with their trained top: raw pixels in, the classes out that the weights were trained for."""

import os
from collections.abc import Callable

import keras
from keras import layers

from kerasvision.errors import WeightsError
from kerasvision.models.building import check_backend, check_size
from kerasvision.models.heads import as_size
from kerasvision.models.loading import load_source
from kerasvision.models.preprocessing import preprocess
from kerasvision.models.registry import entry
from kerasvision.models.sources import classes_of, mode_for, open_source


def pretrained(
    name: str,
    weights: str | os.PathLike = "imagenet",
    *,
    image_size: int | tuple[int, int] | None = None,
    activation: str | Callable | None = "softmax",
    preprocessing: str | None = None,
    **options,
) -> keras.Model:
    """Build a network with its trained top, that takes raw RGB pixels.

    The preprocessing that the weights expect is in the graph: VGG-16 with a file of torchvision scales by
    ImageNet's mean and deviation, with one of keras.applications it subtracts the mean in BGR.

    Args:
        name: one of `list_models()`.
        weights: what `load_weights` takes: `"imagenet"`, a file of Keras or torch, or `hf://owner/name`.
        image_size: side in pixels, or (height, width); default the native size of the network.
        activation: of the top; `None` for logits.
        preprocessing: how pixels are prepared (`ModelEntry.preprocessing`), for files that do not say, as
            those of most networks for CIFAR. A file of Keras that does not say is taken to expect the
            usual of the network.
        **options: of the network's builder. The number of classes is that of the file.

    Returns:
        Functional model: `Input` named `image`, (batch, height, width, 3), raw RGB in [0, 255], then
        preprocessing layers and the network -> (batch, classes).

    Raises:
        ValueError: an argument is not accepted, or the preprocessing is not known.
        WeightsError: the weights cannot be fetched, are not of this network, or have no top.
    """
    check_backend()
    known = entry(name)
    height, width = as_size(known.native_size if image_size is None else image_size)
    check_size((height, width), known.minimum_size, "image_size")
    if weights == "imagenet" and "imagenet" not in known.weights:
        raise WeightsError(
            f"There are no ImageNet weights of keras.applications for {known.name}. Use weights=<a file>"
            f"{''.join(map(_offer, known.weights))}."
        )
    source = None if weights == "imagenet" else open_source(weights)
    image = layers.Input((height, width, 3), dtype="float32", name="image")
    pixels = preprocess(image, mode_for(known, source, preprocessing))
    build = {"include_top": True, "input_tensor": pixels, "classifier_activation": activation, **options}
    if source is None:
        return _on(image, known.builder(weights="imagenet", **build))
    build.setdefault("classes", classes_of(source, known.top_layers))
    if build["classes"] is None:
        raise WeightsError(
            f"{source.path} has no top of {known.name} ({known.top_layers[-1]}), so it names no classes. For "
            "your own classes use kerasvision.models.classifier; if it has one under another name, state "
            "classes=<their number>."
        )
    model = known.builder(**build)
    load_source(model, source)
    return _on(image, model)


def _offer(place: str) -> str:
    return f", for example {place}" if place.startswith("https://") else f", or {place!r}"


def _on(image, model: keras.Model) -> keras.Model:
    """Return a model with this one input; keras.applications makes lists of one, and warns when called."""
    outputs = model.outputs if len(model.outputs) > 1 else model.outputs[0]
    return keras.Model(image, outputs, name=model.name)
