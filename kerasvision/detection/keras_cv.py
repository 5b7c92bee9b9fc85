"""The networks of keras-cv: the only file that touches it.

Its layers tell how they are made (kind, width, initializer), and its functions lay out YOLOv8; the graph is
flat and made of Keras' own layers, so that a saved detector loads without keras-cv. Its losses, its label
encoders and its decoding are not used: docs/decisions.md says why.
"""

from types import SimpleNamespace

import keras
import numpy as np
from keras import layers

from kerasvision.detection.building import detector
from kerasvision.detection.detectors import Detector
from kerasvision.detection.retinanet import ANCHORS_PER_PLACE, RetinaNetHead
from kerasvision.detection.yolo_v8 import BINS, YoloV8Head
from kerasvision.errors import KerasvisionError, WeightsError
from kerasvision.models import feature_pyramid, graph
from kerasvision.progress import say

LEVELS = (3, 4, 5)
# What keras-cv's presets of these sizes are made of, which only a hub would tell: channels and depth of the
# four stages, and depth of the blocks of the neck.
YOLO_V8_SIZES = {
    "xs": ((32, 64, 128, 256), (1, 2, 2, 1), 1),
    "s": ((64, 128, 256, 512), (1, 2, 2, 1), 1),
    "m": ((96, 192, 384, 576), (2, 4, 4, 2), 2),
    "l": ((128, 256, 512, 512), (3, 6, 6, 3), 3),
}
# Before training, every place says of every class that it is there with this probability, as RetinaNet's
# paper has it: with 0.5, which keras-cv's YOLOv8 starts from, thousands of places would drown the few boxes.
PRIOR = 0.01
# Logits of the distances fall by this from bin to bin before training: first guesses are then 3 strides wide,
# 24 pixels on the finest level, instead of 15 (all bins alike), which hardly overlap with small objects.
NEAR = -0.5
PRESETS = ("yolo_v8_m_pascalvoc", "retinanet_resnet50_pascalvoc")


def retinanet(
    backbone: keras.Model,
    classes: int,
    *,
    anchor_scale: float = 4.0,
    low_quality: bool = True,
    batchnorm: bool = False,
):
    """Lay out RetinaNet: keras-cv's feature pyramid and prediction heads, shared by all levels.

    Args:
        backbone: flat model from `image` to its last feature maps.
        classes: number of classes.
        anchor_scale: side of the smallest anchor of a level, in strides of the level.
        low_quality: each box is learnt by the anchor that fits it best, also where they overlap little.
        batchnorm: normalise in the prediction heads, each level by itself while the convolutions are shared
            (Tan et al., EfficientDet, 2020). Neither the paper nor keras-cv do; from scratch it is what makes
            the network learn (He et al., Rethinking ImageNet pre-training, 2019, section 3.1).

    Returns:
        Raw outputs of levels 3 to 7, and the `RetinaNetHead`.

    Lin et al. 2017, https://arxiv.org/abs/1708.02002
    """
    library = _library()
    maps = _feature_pyramid(library.FeaturePyramid(), _whole_maps(backbone))
    bias = keras.initializers.Constant(-np.log((1 - PRIOR) / PRIOR))
    box = _prediction_head(library.PredictionHead(ANCHORS_PER_PLACE * 4, "zeros"), "box_head", batchnorm)
    kind = _prediction_head(
        library.PredictionHead(ANCHORS_PER_PLACE * classes, bias), "class_head", batchnorm
    )
    outputs = {f"box_{level}": box(x, level) for level, x in maps.items()}
    outputs |= {f"class_{level}": kind(x, level) for level, x in maps.items()}
    size = tuple(backbone.inputs[0].shape[1:3])
    return outputs, RetinaNetHead(classes, size, tuple(maps), anchor_scale, low_quality)


def yolo_v8(backbone: keras.Model, classes: int, *, size: str):
    """Lay out YOLOv8: keras-cv's path aggregation network and its heads.

    On a backbone of other widths than that of the size, a 1x1 convolution a level brings them to these.

    Args:
        backbone: flat model from `image` to its last feature maps.
        classes: number of classes.
        size: one of `YOLO_V8_SIZES`.

    Returns:
        Raw outputs of levels 3 to 5, and the `YoloV8Head`.
    """
    library = _library()
    channels, _, depth = YOLO_V8_SIZES[size]
    maps = list(_whole_maps(backbone).values())
    for index, (level, width) in enumerate(zip(LEVELS, channels[1:], strict=True)):
        if maps[index].shape[-1] != width:
            maps[index] = library.apply_conv_bn(maps[index], width, name=f"lateral_{level}")
    neck = library.apply_path_aggregation_fpn(maps, depth=depth, name="pa_fpn")
    laid = keras.Model(backbone.inputs[0], library.apply_yolo_v8_head(neck, classes))
    outputs = {}
    for index, level in enumerate(LEVELS, 1):
        outputs[f"box_{level}"] = graph.output_of(laid, f"yolo_v8_head_{index}_box_3_conv")
        outputs[f"class_{level}"] = graph.output_of(laid, f"yolo_v8_head_{index}_class_3_conv")
        bias = laid.get_layer(f"yolo_v8_head_{index}_class_3_conv").bias
        bias.assign(np.full(classes, -np.log((1 - PRIOR) / PRIOR)))
        laid.get_layer(f"yolo_v8_head_{index}_box_3_conv").bias.assign(np.tile(NEAR * np.arange(BINS), 4))
    return outputs, YoloV8Head(classes, tuple(backbone.inputs[0].shape[1:3]), LEVELS)


def _whole_maps(backbone: keras.Model) -> dict:
    """Return the feature maps at the sides that the image has at their strides.

    Networks with convolutions that are not padded (the Inceptions) lose rows and columns at all borders; they
    get zeros there instead, so that maps lie over each other.
    """
    maps = dict(feature_pyramid(backbone, LEVELS).output)
    for level, key in zip(LEVELS, maps, strict=True):
        sides = zip(backbone.inputs[0].shape[1:3], maps[key].shape[1:3], strict=True)
        lost = [max(side // 2**level - there, 0) for side, there in sides]
        if any(lost):
            border = tuple((one // 2, one - one // 2) for one in lost)
            maps[key] = keras.layers.ZeroPadding2D(border, name=f"border_{level}")(maps[key])
    return maps


def yolo_v8_backbone(*, size: str) -> keras.Model:
    """Return keras-cv's own backbone of YOLOv8, for pixels in [0, 1], with random weights."""
    channels, depth, _ = YOLO_V8_SIZES[size]
    return _library().YOLOV8Backbone(
        stackwise_channels=list(channels), stackwise_depth=list(depth), include_rescaling=False
    )


def from_keras_cv(
    model: str | keras.Model, *, image_size: int | tuple[int, int], classes: int | None = None
) -> Detector:
    """Return a detector of ours with the weights of one of keras-cv's.

    Args:
        model: a keras-cv `RetinaNet` or `YOLOV8Detector` (sizes xs to l), or the name of a preset: one of
            `PRESETS`, which keras-cv fetches from a hub.
        image_size: side in pixels, or (height, width).
        classes: number of classes, where it is to be trained for others; layers that depend on them start
            anew then. Default: those of the model.

    Raises:
        WeightsError: the preset cannot be fetched.
        KerasvisionError: it is no such detector, or on a backbone that cannot be taken over.
    """
    library = _library()
    if isinstance(model, str):
        model = _preset(library, model)
    name = _name_of(library, model)
    scaling = "included" if getattr(model.backbone, "include_rescaling", True) else "zero_one"
    classes = classes or model.num_classes
    built = detector(
        name, classes=classes, image_size=image_size, backbone=model.backbone, preprocessing=scaling
    )
    skipped = [ours.name for ours, theirs in _pairs(built.model, model, library) if not _copied(ours, theirs)]
    if skipped:
        say(f"{len(skipped)} layers depend on the number of classes and start anew: {', '.join(skipped)}")
    _check_same(built, model, library, scaling, classes)
    return built


def _library() -> SimpleNamespace:
    """Return keras-cv's parts, imported when used: it takes seconds, and SSD and YOLO v1 don't need it."""
    from keras_cv.models import RetinaNet, YOLOV8Backbone
    from keras_cv.src.models.object_detection.retinanet import FeaturePyramid, PredictionHead
    from keras_cv.src.models.object_detection.yolo_v8 import yolo_v8_detector, yolo_v8_layers

    return SimpleNamespace(
        YOLOV8Backbone=YOLOV8Backbone,
        YOLOV8Detector=yolo_v8_detector.YOLOV8Detector,
        RetinaNet=RetinaNet,
        FeaturePyramid=FeaturePyramid,
        PredictionHead=PredictionHead,
        apply_conv_bn=yolo_v8_layers.apply_conv_bn,
        apply_path_aggregation_fpn=yolo_v8_detector.apply_path_aggregation_fpn,
        apply_yolo_v8_head=yolo_v8_detector.apply_yolo_v8_head,
    )


def _preset(library, name: str) -> keras.Model:
    if name not in PRESETS:
        raise KerasvisionError(
            f"`model` must be a keras-cv detector or one of {PRESETS}. Received: {name!r}."
        )
    kind = library.RetinaNet if name.startswith("retinanet") else library.YOLOV8Detector
    try:
        return kind.from_preset(name, bounding_box_format="xyxy")
    # Whatever the hub's client raises: no network, no account, a library that is missing.
    except Exception as error:
        raise WeightsError(
            f"keras-cv could not fetch its preset {name!r} ({type(error).__name__}: {error}). It asks the "
            "hub of kaggle.com, which needs a network (and `pip install kagglehub`). Without it, start from "
            "backbone weights: detector(..., backbone='mobilenet_v2')."
        ) from error


def _name_of(library, model) -> str:
    """Return our name of a keras-cv detector."""
    if isinstance(model, library.RetinaNet):
        return "retinanet"
    if isinstance(model, library.YOLOV8Detector):
        levels = [model.backbone.pyramid_level_inputs[f"P{level}"] for level in LEVELS]
        widths = tuple(model.backbone.get_layer(layer).output.shape[-1] for layer in levels)
        for size, (channels, _, depth) in YOLO_V8_SIZES.items():
            if (channels[1:], depth) == (widths, model.fpn_depth):
                return f"yolo_v8_{size}"
        raise KerasvisionError(
            f"`model` has feature maps of {widths} channels and fpn_depth={model.fpn_depth}, which is none "
            f"of the sizes {', '.join(YOLO_V8_SIZES)}."
        )
    raise KerasvisionError(
        f"`model` must be a keras-cv RetinaNet or YOLOV8Detector. Received: {type(model).__name__}."
    )


def _pairs(ours: keras.Model, theirs, library):
    """Yield the layers after the backbone: ours, and those of keras-cv."""
    if isinstance(theirs, library.YOLOV8Detector):
        for layer in theirs.layers:
            if layer.weights and layer.name.startswith(("pa_fpn", "yolo_v8_head")):
                yield ours.get_layer(layer.name), layer
        return
    for part in ("c3_1x1", "c4_1x1", "c5_1x1", "c3_3x3", "c4_3x3", "c5_3x3", "c6_3x3", "c7_3x3"):
        yield ours.get_layer(f"fpn_{part}"), getattr(theirs.feature_pyramid, f"conv_{part}")
    for name, head in (("box_head", theirs.box_head), ("class_head", theirs.classification_head)):
        for index, conv in enumerate(head.conv_layers, 1):
            yield ours.get_layer(f"{name}_{index}"), conv
        yield ours.get_layer(f"{name}_out"), head.prediction_layer


def _copied(ours: keras.Layer, theirs: keras.Layer) -> bool:
    """Copy the weights of a layer; tells whether they fit."""
    if [weight.shape for weight in ours.weights] != [weight.shape for weight in theirs.weights]:
        return False
    graph.assign(ours, theirs)
    return True


def _check_same(built: Detector, theirs, library, scaling: str, classes: int) -> None:
    """Refuse a backbone of which keras-cv takes other feature maps than `feature_pyramid` does."""
    height, width = built.spec.image_size
    pixels = np.random.default_rng(0).uniform(0, 255, (1, height, width, 3)).astype("float32")
    if isinstance(theirs, library.YOLOV8Detector):
        images, output, shape = pixels, "boxes", (-1, 64)
    else:
        images, output, shape = {"images": pixels}, "box", (-1, 4)
    scaled = pixels if scaling == "included" else pixels / 255
    images = {"images": scaled} if isinstance(images, dict) else scaled
    expected = keras.ops.convert_to_numpy(theirs(images, training=False)[output])[0]
    raw = built.model(pixels, training=False)
    parts = [np.reshape(raw[name], shape) for name in raw if name.startswith("box_")]
    if not np.allclose(np.concatenate(parts), expected, rtol=1e-3, atol=1e-3 * np.abs(expected).max()):
        raise KerasvisionError(
            f"keras-cv taps its backbone {theirs.backbone.name!r} at other places than `feature_pyramid` "
            "does, so its detector cannot be taken over. Those on YOLOV8Backbone and ResNetBackbone can."
        )


def _feature_pyramid(parts, maps: dict) -> dict:
    """Lay out a `FeaturePyramid` flat, on the maps P3, P4 and P5; returns level -> map."""

    def conv(name: str):
        return graph.copy_layer(getattr(parts, f"conv_{name}"), name=f"fpn_{name}")

    def up(level: int):
        return layers.UpSampling2D(2, name=f"fpn_p{level}_up")

    p5 = conv("c5_1x1")(maps["P5"])
    p4 = layers.Add(name="fpn_p4_add")([conv("c4_1x1")(maps["P4"]), up(5)(p5)])
    p3 = layers.Add(name="fpn_p3_add")([conv("c3_1x1")(maps["P3"]), up(4)(p4)])
    p6 = conv("c6_3x3")(maps["P5"])
    p7 = conv("c7_3x3")(layers.ReLU(name="fpn_p6_relu")(p6))
    return {3: conv("c3_3x3")(p3), 4: conv("c4_3x3")(p4), 5: conv("c5_3x3")(p5), 6: p6, 7: p7}


def _prediction_head(parts, name: str, batchnorm: bool):
    """Return a function that applies the layers of a `PredictionHead` to the map of a level.

    The convolutions are the same ones at each call; BatchNorm, where there is any, is that of the level.
    """
    changed = {"activation": None, "use_bias": False} if batchnorm else {}
    convs = [
        graph.copy_layer(conv, name=f"{name}_{i}", **changed) for i, conv in enumerate(parts.conv_layers, 1)
    ]
    last = graph.copy_layer(parts.prediction_layer, name=f"{name}_out")

    def apply(x, level: int):
        for conv in convs:
            x = conv(x)
            if batchnorm:
                x = layers.BatchNormalization(momentum=0.9, name=f"{conv.name}_bn_{level}")(x)
                x = layers.ReLU(name=f"{conv.name}_relu_{level}")(x)
        return last(x)

    return apply
