"""Build segmenters by name: raw pixels in, the logits of each class at each pixel out, on one flat graph."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module

import keras
from keras import layers

from kerasvision.errors import KerasvisionError, unknown_name
from kerasvision.models.building import check_backend
from kerasvision.models.heads import as_size, feature_maps


@dataclass(frozen=True)
class Family:
    """How segmenters of one name are laid out.

    Attributes:
        layout: `"module:function"` inside `kerasvision.segmentation`. The function is called with the
            backbone, a flat model from `image` to its last feature maps, the number of classes, `settings`
            and the user's options, and returns the logits, (b, h, w, classes).
        paper: where it is described.
        multiple: sides of the image must be multiples of this.
        settings: keyword arguments that make this variant.
    """

    layout: str
    paper: str
    multiple: int = 32
    settings: Mapping = field(default_factory=dict, hash=False)

    @property
    def function(self) -> Callable:
        """The function of `layout`."""
        module, function = self.layout.split(":")
        return getattr(import_module(f"kerasvision.segmentation.{module}"), function)


FAMILIES = {
    **{
        f"fcn_{stride}s": Family("fcn:fcn", "https://arxiv.org/abs/1411.4038", settings={"stride": stride})
        for stride in (32, 16, 8)
    },
    "unet": Family("unet:unet", "https://arxiv.org/abs/1505.04597"),
}


def list_segmenters() -> list[str]:
    """Return the names that `segmenter` accepts.

    >>> "unet" in list_segmenters()
    True
    """
    return list(FAMILIES)


def segmenter(
    name: str,
    *,
    classes: int,
    image_size: int | tuple[int, int],
    backbone: str | keras.Model = "mobilenet_v2",
    weights: str | os.PathLike | None = None,
    preprocessing: str | None = None,
    backbone_options: Mapping | None = None,
    **options,
) -> keras.Model:
    """Build a segmenter of raw RGB images on one flat graph.

    Args:
        name: one of `list_segmenters()`.
        classes: number of classes; void is none.
        image_size: side in pixels, or (height, width); multiples of 32.
        backbone: a name of `kerasvision.models.list_models("classify")`, or your own functional backbone,
            which is copied with its weights.
        weights: of the backbone: `None` (random, or those your own backbone has), `"imagenet"`, or a file.
        preprocessing: what your own backbone expects of pixels, as for `kerasvision.models.classifier`.
        backbone_options: of the backbone's builder, for example `{"alpha": 0.35}`.
        **options: of the family, for example `filters=(128, 64, 32, 16, 16)` for U-Net.

    Returns:
        A functional model: `image`, (b, height, width, 3), raw RGB in [0, 255] -> `logits`,
        (b, height, width, classes) float32. It is made of Keras' own layers only.

    Raises:
        KerasvisionError: a name, a number or a size that is not accepted; the message gives the size to pad
            to.
        ValueError: the backbone is not known, or has no feature map at a stride that is needed.
        WeightsError: the weights cannot be fetched, or do not fit.

    >>> model = segmenter("unet", classes=3, image_size=64, backbone="resnet18")
    >>> model.output_shape
    (None, 64, 64, 3)
    """
    check_backend()
    family = _family(name)
    size = as_size(image_size)
    if isinstance(classes, bool) or not isinstance(classes, int) or classes < 2:
        raise KerasvisionError(f"`classes` must be a number of classes from 2. Received: {classes!r}.")
    fitting = tuple(-(-side // family.multiple) * family.multiple for side in size)
    if fitting != size:
        raise KerasvisionError(
            f"Sides of `image_size` must be multiples of {family.multiple} for {name!r}. Received: {size}. "
            f"Pad images to {fitting}."
        )
    image = layers.Input((*size, 3), dtype="float32", name="image")
    maps = feature_maps(
        backbone, image, preprocessing=preprocessing, weights=weights, **(backbone_options or {})
    )
    inside = keras.Model(image, maps, name=f"{name}_backbone")
    try:
        logits = family.function(inside, classes, **family.settings, **options)
    except TypeError as error:
        if "unexpected keyword argument" in str(error):
            raise KerasvisionError(f"`{name}` has no such option: {error}.") from error
        raise
    # float32 also under mixed precision: the losses need it.
    logits = layers.Activation("linear", dtype="float32", name="logits")(logits)
    return keras.Model(image, logits, name=name)


def _family(name: str) -> Family:
    if name in FAMILIES:
        return FAMILIES[name]
    raise KerasvisionError(unknown_name("segmenter", name, FAMILIES))
