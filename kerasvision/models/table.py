"""The networks that `get_model` knows, as data: one entry a variant.

A new family is a file with its builders and one entry here for each of them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Literal

PreprocessingMode = Literal["caffe", "tf", "torch", "zero_one", "included"]

TOP_LAYERS = ("predictions",)
KERAS_PAGE = "https://keras.io/api/applications/"


@dataclass(frozen=True)
class ModelEntry:
    """What is known about one network.

    Attributes:
        name: name for `get_model`.
        built_by: `"module:function"` inside `kerasvision.models`.
        tasks: what it can be the backbone or the whole of.
        native_size: side in pixels of the images it was published for.
        minimum_size: smallest side in pixels that it accepts.
        preprocessing: what its builder expects of pixels: `"caffe"` (BGR, ImageNet mean subtracted), `"tf"`
            ([-1, 1]), `"torch"` ([0, 1], ImageNet mean and deviation), `"zero_one"`, or `"included"` (raw
            RGB in [0, 255]; the network scales them itself).
        parameters: number of parameters with the 1000-class top (10 classes for `resnet_small`).
        year, paper: when and where it was published.
        top_1, top_5: published ImageNet accuracy in percent, or `None`.
        accuracy_source: where these two figures come from.
        weights: names of weights that exist, besides `None` and a file.
        top_layers: layers with weights that only the network with its top has; a backbone leaves them out
            of a file.
    """

    name: str
    built_by: str
    native_size: int
    minimum_size: int
    preprocessing: PreprocessingMode
    parameters: int
    year: int
    paper: str
    tasks: tuple[str, ...] = ("classify",)
    top_1: float | None = None
    top_5: float | None = None
    accuracy_source: str | None = None
    weights: tuple[str, ...] = ()
    top_layers: tuple[str, ...] = TOP_LAYERS

    @property
    def builder(self) -> Callable:
        """The builder, with the signature of keras.applications (loads TensorFlow)."""
        module, function = self.built_by.split(":")
        return getattr(import_module(f"kerasvision.models.{module}"), function)


ENTRIES = (
    ModelEntry(
        name="mobilenet_v2",
        built_by="mobile:MobileNetV2",
        native_size=224,
        minimum_size=32,
        preprocessing="tf",
        parameters=3_538_984,
        year=2018,
        paper="https://arxiv.org/abs/1801.04381",
        top_1=71.3,
        top_5=90.1,
        accuracy_source=KERAS_PAGE,
        weights=("imagenet",),
    ),
    ModelEntry(
        name="mobilenet_v3_small",
        built_by="mobile:MobileNetV3Small",
        native_size=224,
        minimum_size=32,
        preprocessing="included",
        parameters=2_554_968,
        year=2019,
        paper="https://arxiv.org/abs/1905.02244",
        top_1=68.1,
        accuracy_source="the docstring of keras.applications.MobileNetV3Small",
        weights=("imagenet",),
        top_layers=("conv_2", "logits", *TOP_LAYERS),
    ),
    ModelEntry(
        name="mobilenet_v3_large",
        built_by="mobile:MobileNetV3Large",
        native_size=224,
        minimum_size=32,
        preprocessing="included",
        parameters=5_507_432,
        year=2019,
        paper="https://arxiv.org/abs/1905.02244",
        top_1=75.6,
        accuracy_source="the docstring of keras.applications.MobileNetV3Large",
        weights=("imagenet",),
        top_layers=("conv_2", "logits", *TOP_LAYERS),
    ),
    ModelEntry(
        name="efficientnet_v2_b0",
        built_by="mobile:EfficientNetV2B0",
        native_size=224,
        minimum_size=32,
        preprocessing="included",
        parameters=7_200_312,
        year=2021,
        paper="https://arxiv.org/abs/2104.00298",
        top_1=78.7,
        top_5=94.3,
        accuracy_source=KERAS_PAGE,
        weights=("imagenet",),
    ),
    ModelEntry(
        name="resnet50",
        built_by="resnet:ResNet50",
        native_size=224,
        minimum_size=32,
        preprocessing="caffe",
        parameters=25_636_712,
        year=2015,
        paper="https://arxiv.org/abs/1512.03385",
        top_1=74.9,
        top_5=92.1,
        accuracy_source=KERAS_PAGE,
        weights=("imagenet",),
    ),
    ModelEntry(
        name="resnet101",
        built_by="resnet:ResNet101",
        native_size=224,
        minimum_size=32,
        preprocessing="caffe",
        parameters=44_707_176,
        year=2015,
        paper="https://arxiv.org/abs/1512.03385",
        top_1=76.4,
        top_5=92.8,
        accuracy_source=KERAS_PAGE,
        weights=("imagenet",),
    ),
    ModelEntry(
        name="resnet152",
        built_by="resnet:ResNet152",
        native_size=224,
        minimum_size=32,
        preprocessing="caffe",
        parameters=60_419_944,
        year=2015,
        paper="https://arxiv.org/abs/1512.03385",
        top_1=76.6,
        top_5=93.1,
        accuracy_source=KERAS_PAGE,
        weights=("imagenet",),
    ),
    ModelEntry(
        name="resnet_small",
        built_by="resnet_small:ResNetSmall",
        native_size=32,
        minimum_size=8,
        preprocessing="zero_one",
        parameters=78_714,
        year=2015,
        paper="https://arxiv.org/abs/1512.03385",
    ),
)
