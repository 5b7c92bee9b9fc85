"""Build segmenters by name: raw pixels in, the logits of each class at each pixel out, on one flat graph."""

import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from importlib import import_module

import keras
from keras import layers

from kerasvision.errors import KerasvisionError
from kerasvision.metrics.segmentation import VOID
from kerasvision.models import graph
from kerasvision.models.backbones import layers_before_head
from kerasvision.models.building import check_backend
from kerasvision.models.heads import as_size, feature_maps
from kerasvision.models.own_backbones import describe_backbone, described_backbone
from kerasvision.models.preprocessing import preprocess
from kerasvision.models.registry import entry
from kerasvision.segmentation.families import Family, check_sides, family_of

HEAD = "head_"  # what the names of all layers after the backbone begin with
LOGITS, AUXILIARY = "logits", "auxiliary_"


@dataclass(frozen=True)
class SegmenterSpec:
    """How a segmenter was built; `build(spec)` gives the same architecture again.

    Attributes:
        name: one of `list_segmenters()`.
        classes: number of classes.
        image_size: (height, width) in pixels.
        backbone: name of a network; `None` for the network of the paper without one; or, for a backbone of
            the user's own, `{"config": what keras.saving.serialize_keras_object gives}`.
        preprocessing: mode of the pixels that the backbone expects, `None` for that of its weights.
        backbone_options: arguments of the backbone's builder.
        options: further arguments of the family, numbers and strings.
    """

    name: str
    classes: int
    image_size: tuple[int, int]
    backbone: str | Mapping | None = None
    preprocessing: str | None = None
    backbone_options: Mapping = field(default_factory=dict)
    options: Mapping = field(default_factory=dict)

    def to_dict(self) -> dict:
        """Return what JSON can hold."""
        return {**asdict(self), "image_size": list(self.image_size)}

    @classmethod
    def from_dict(cls, values: Mapping) -> "SegmenterSpec":
        """Return the spec that `to_dict` described."""
        return cls(**{**values, "image_size": tuple(values["image_size"])})


def segmenter(
    name: str,
    *,
    classes: int,
    image_size: int | tuple[int, int],
    backbone: str | keras.Model | None = "auto",
    weights: str | os.PathLike | None = None,
    preprocessing: str | None = None,
    backbone_options: Mapping | None = None,
    auxiliary: bool = False,
    **options,
) -> keras.Model:
    """Build a segmenter of raw RGB images on one flat graph.

    Args:
        name: one of `list_segmenters()`.
        classes: number of classes, from 2 to 255; void is none.
        image_size: side in pixels, or (height, width); multiples of what `segmenter_table()` says.
        backbone: a name of `kerasvision.models.list_models("classify")`; your own functional backbone, which
            is copied with its weights; `None` for the network of the paper, where it has no backbone; or
            `"auto"`: that of `segmenter_table()`.
        weights: of the backbone: `None` (random, or those your own backbone has), `"imagenet"`, or a file.
        preprocessing: what your own backbone expects of pixels, as for `kerasvision.models.classifier`.
        backbone_options: of the backbone's builder, for example `{"alpha": 0.35}`.
        auxiliary: give the outputs that only training needs, too, where the family has some.
        **options: of the family, for example `filters=(128, 64, 32, 16, 16)` for U-Net.

    Returns:
        A functional model: `image`, (b, height, width, 3), raw RGB in [0, 255] -> `logits`,
        (b, height, width, classes) float32; with `auxiliary=True`, for a family that has auxiliary outputs,
        a dict `{"logits": …, "auxiliary_1": …, …}`, all of this shape. It is made of Keras' own layers and
        operations only, so a saved file loads without this package.

    Raises:
        KerasvisionError: a name, a number or a size that is not accepted; the message gives the size to use.
        ValueError: the backbone is not known, or has no feature map at a stride that is needed.
        WeightsError: the weights cannot be fetched, or do not fit.

    >>> model = segmenter("unet", classes=3, image_size=64, backbone="resnet18")
    >>> model.output_shape
    (None, 64, 64, 3)
    """
    spec = segmenter_spec(
        name,
        classes=classes,
        image_size=image_size,
        backbone=backbone,
        preprocessing=preprocessing,
        backbone_options=backbone_options,
        **options,
    )
    return _build(spec, weights, auxiliary, backbone if isinstance(backbone, keras.Model) else None)


def segmenter_spec(
    name: str,
    *,
    classes: int,
    image_size: int | tuple[int, int],
    backbone: str | keras.Model | None = "auto",
    preprocessing: str | None = None,
    backbone_options: Mapping | None = None,
    **options,
) -> SegmenterSpec:
    """Return the spec of what `segmenter` builds of these arguments, without building it.

    Raises:
        KerasvisionError: a name, a number or a size that is not accepted.
    """
    family = family_of(name)
    if isinstance(backbone, str):
        backbone = family.backbone if backbone == "auto" else entry(backbone).name
    if isinstance(backbone, keras.Model):
        backbone = describe_backbone(backbone, preprocessing)
    size = as_size(image_size)
    spec = SegmenterSpec(
        name, classes, size, backbone, preprocessing, dict(backbone_options or {}), dict(options)
    )
    check_spec(spec)
    return spec


def check_spec(spec: SegmenterSpec) -> None:
    """Refuse what no segmenter has, without building anything.

    Raises:
        KerasvisionError: a name, a number of classes, a size or a backbone that does not fit; the message
            says what would.
    """
    family, classes = family_of(spec.name), spec.classes
    if isinstance(classes, bool) or not isinstance(classes, int) or not 2 <= classes <= VOID:
        raise KerasvisionError(
            f"`classes` must be a number of classes from 2 to {VOID}. Received: {classes!r}."
        )
    check_sides(spec.name, spec.image_size)
    if spec.backbone is None and family.own is None:
        raise KerasvisionError(
            f"`{spec.name}` needs a backbone, for example backbone='mobilenet_v2'. Received: None."
        )
    if spec.backbone is not None and family.layout is None:
        shown = spec.backbone if isinstance(spec.backbone, str) else "your own"
        raise KerasvisionError(
            f"`{spec.name}` is a whole network: `backbone` must be None. Received: {shown!r}. Backbones are "
            "for deeplab_v3_plus, pspnet, unet and fcn_8s."
        )
    if spec.backbone is None and (spec.backbone_options or spec.preprocessing is not None):
        raise KerasvisionError(
            f"`backbone_options` and `preprocessing` belong to a backbone; {spec.name!r} without one has "
            f"neither. Received: {dict(spec.backbone_options)!r} and {spec.preprocessing!r}."
        )


def build(
    spec: SegmenterSpec, weights: str | os.PathLike | None = None, auxiliary: bool = False
) -> keras.Model:
    """Build the segmenter that a spec describes.

    Args:
        spec: of `segmenter_spec`, or `SegmenterSpec.from_dict` of what a run folder holds.
        weights: of the backbone, as for `segmenter`; to load those of a whole segmenter, use
            `load_weights` of the model.
        auxiliary: as for `segmenter`.
    """
    return _build(spec, weights, auxiliary, described_backbone(spec.backbone))


def inference_model(model: keras.Model) -> keras.Model:
    """Return a segmenter with `logits` alone, sharing its layers.

    Args:
        model: what `segmenter` returned, with or without auxiliary outputs (also after saving and loading).
    """
    source = graph.functional(model)
    logits = model.output[LOGITS] if isinstance(model.output, Mapping) else source.outputs[0]
    return keras.Model(source.inputs[0], logits, name=model.name)


def auxiliary_weights(model: keras.Model) -> dict[str, float]:
    """Return the weight of the loss of each output of a segmenter: 1 for `logits`, less for the others."""
    names = list(model.output) if isinstance(model.output, Mapping) else [LOGITS]
    return {name: 1.0 if name == LOGITS else family_of(model.name).auxiliary for name in names}


def backbone_layers(model: keras.Model) -> tuple[str, ...]:
    """Return the names of the layers of a segmenter that belong to its backbone, for freezing.

    Args:
        model: what `segmenter` returned (also after saving and loading).

    Returns:
        Names in the order of the model, preprocessing layers among them; nothing else for a network of the
        paper without a backbone.
    """
    return layers_before_head(model, names=(LOGITS,), prefixes=(HEAD, AUXILIARY))


def _build(spec: SegmenterSpec, weights, auxiliary: bool, own: keras.Model | None) -> keras.Model:
    check_backend()
    check_spec(spec)
    family = family_of(spec.name)
    image = layers.Input((*spec.image_size, 3), dtype="float32", name="image")
    whole = spec.backbone is None
    if whole:
        _check_own_weights(spec, family, weights)
        maps = preprocess(image, family.preprocessing)
    else:
        maps = feature_maps(
            spec.backbone if own is None else own,
            image,
            preprocessing=spec.preprocessing,
            weights=weights,
            **spec.backbone_options,
        )
    inside = keras.Model(image, maps, name=f"{spec.name}_backbone")
    layout = _function(family.own if whole else family.layout)
    try:
        outputs = layout(inside, spec.classes, **family.settings, **spec.options)
    except TypeError as error:
        if "unexpected keyword argument" in str(error):
            raise KerasvisionError(f"`{spec.name}` has no such option: {error}.") from error
        raise
    outputs = outputs if isinstance(outputs, Mapping) else {LOGITS: outputs}
    # float32 also under mixed precision: the losses need it.
    outputs = {key: layers.Activation("linear", dtype="float32", name=key)(x) for key, x in outputs.items()}
    # A layout may have built the backbone again, dilated, on an input of its own.
    (image,) = graph.sources(outputs[LOGITS])
    wanted = outputs if auxiliary and len(outputs) > 1 else outputs[LOGITS]
    model = keras.Model(image, wanted, name=spec.name)
    if whole and weights is not None:
        _function(family.own_weights)(model, weights)
    return model


def _check_own_weights(spec: SegmenterSpec, family: Family, weights) -> None:
    if weights is not None and family.own_weights is None:
        raise KerasvisionError(
            f"`weights` must be None: there are none for {spec.name!r} without a backbone, it is trained "
            f"from scratch. Received: {os.fspath(weights)!r}."
        )


def _function(place: str) -> Callable:
    module, function = place.split(":")
    return getattr(import_module(f"kerasvision.segmentation.{module}"), function)
