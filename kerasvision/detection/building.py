"""Build detectors by name, and again from their spec."""

import os
from collections.abc import Callable
from importlib import import_module

import keras
from keras import layers

from kerasvision.detection.detectors import Detector, DetectorSpec
from kerasvision.detection.families import Family, check_sides, family_of
from kerasvision.errors import KerasvisionError
from kerasvision.models.building import check_backend
from kerasvision.models.heads import as_size, feature_maps
from kerasvision.models.own_backbones import describe_backbone, described_backbone
from kerasvision.models.registry import entry


def detector(
    name: str,
    *,
    classes: int,
    image_size: int | tuple[int, int],
    backbone: str | keras.Model | None = None,
    weights: str | os.PathLike | None = "imagenet",
    preprocessing: str | None = None,
    **options,
) -> Detector:
    """Build a detector of raw RGB images on one flat graph.

    Args:
        name: one of `list_detectors()`.
        classes: number of classes; there is no class for the background.
        image_size: side in pixels, or (height, width).
        backbone: a name of `kerasvision.models.list_models("classify")` with feature maps at strides 8, 16
            and 32; your own functional backbone, which is copied with its weights; or `None` for that of the
            family: `"resnet50"` for RetinaNet, keras-cv's own for YOLOv8, `"vgg16"` for SSD, and the 24
            convolutions of the paper for YOLO v1 (no weights of which are public).
        weights: of the backbone: `"imagenet"`, a file, or `None` (random, or those your own backbone has).
        preprocessing: what your own backbone expects of pixels: `"included"`, `"tf"`, `"zero_one"`,
            `"torch"` or `"caffe"`, as for `kerasvision.models.classifier`.
        **options: of the family, for example `anchor_scale=3.0` for RetinaNet, and `backbone_options`, a
            dictionary for the backbone's builder, for example `{"alpha": 0.35}`.

    Raises:
        ValueError: an argument is not accepted.
        WeightsError: the weights cannot be fetched, or do not fit.

    Detectors that keras-cv has trained come from `from_keras_cv`.

    >>> cells = detector("yolo_v8_xs", classes=3, image_size=64, backbone="mobilenet_v2", weights=None)
    >>> cells.model.output["class_5"].shape
    (None, 2, 2, 3)
    """
    check_backend()
    family_of(name)
    if isinstance(backbone, keras.Model):
        spec_backbone = describe_backbone(backbone, preprocessing)
        # The default is for networks by name: your own has its weights.
        weights = None if weights == "imagenet" else weights
    else:
        spec_backbone = None if backbone is None else entry(backbone).name
    spec = DetectorSpec(name, classes, as_size(image_size), spec_backbone, preprocessing, options)
    return _build(spec, weights, backbone if isinstance(backbone, keras.Model) else None)


def build(spec: DetectorSpec, weights: str | os.PathLike | None = None) -> Detector:
    """Build the detector that a spec describes.

    Args:
        spec: `Detector.spec`, or `DetectorSpec.from_dict` of what a run folder holds.
        weights: of the backbone, as for `detector`; to load those of a whole detector, use
            `Detector.model.load_weights`.
    """
    return _build(spec, weights, described_backbone(spec.backbone))


def check_spec(spec: DetectorSpec) -> None:
    """Refuse a name, a number of classes or a size that no detector has, without building anything.

    Raises:
        KerasvisionError: saying what would do.
    """
    if not isinstance(spec.classes, int) or isinstance(spec.classes, bool) or spec.classes < 1:
        raise KerasvisionError(f"`classes` must be a positive number of classes. Received: {spec.classes!r}.")
    check_sides(spec.name, spec.image_size)


def _build(spec: DetectorSpec, weights, own: keras.Model | None) -> Detector:
    check_spec(spec)
    family = family_of(spec.name)
    backbone = _backbone(family, spec, weights, own)
    options = {key: value for key, value in spec.options.items() if key != "backbone_options"}
    try:
        outputs, head = _function(family.layout)(backbone, spec.classes, **family.settings, **options)
    except TypeError as error:
        if "unexpected keyword argument" in str(error):
            raise KerasvisionError(f"`{spec.name}` has no such option: {error}.") from error
        raise
    # float32 also under mixed precision: boxes are computed from the exponent of these.
    outputs = {key: layers.Activation("linear", dtype="float32", name=key)(x) for key, x in outputs.items()}
    model = keras.Model(backbone.inputs[0], outputs, name=spec.name)
    inside = {layer.name for layer in backbone.layers}
    names = tuple(layer.name for layer in model.layers if layer.name in inside)
    return Detector(model, head, spec, names[1:])  # without the input


def _backbone(family: Family, spec: DetectorSpec, weights, own) -> keras.Model:
    """Return the backbone on raw pixels, from `image` to its last feature maps."""
    image = layers.Input((*spec.image_size, 3), dtype="float32", name="image")
    options, preprocessing = dict(spec.options.get("backbone_options", {})), spec.preprocessing
    model = own if own is not None else spec.backbone or family.backbone
    if isinstance(model, str) and ":" in model:
        if weights == "imagenet":
            raise KerasvisionError(
                f"The own backbone of {spec.name!r} has no ImageNet weights. Choose one that has, for "
                "example backbone='mobilenet_v2', or weights=None to train from scratch."
            )
        model, preprocessing = _function(model)(**family.settings), "zero_one"
    maps = feature_maps(model, image, preprocessing=preprocessing, weights=weights, **options)
    return keras.Model(image, maps, name=f"{spec.name}_backbone")


def _function(place: str) -> Callable:
    module, function = place.split(":")
    return getattr(import_module(f"kerasvision.detection.{module}"), function)
