"""What is known about one network: a row of the tables."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from importlib import import_module
from typing import Literal

PreprocessingMode = Literal["caffe", "tf", "torch", "zero_one", "included"]

TOP_LAYERS = ("predictions",)
KERAS_PAGE = "https://keras.io/api/applications/"
TORCHVISION_FILES = "https://download.pytorch.org/models"
TORCHVISION_PAGE = "https://pytorch.org/vision/stable/models.html"


@dataclass(frozen=True)
class ModelEntry:
    """What is known about one network.

    Attributes:
        name: name for `get_model`.
        built_by: `"module:function"` inside `kerasvision.models`.
        native_size: side in pixels of the images it was published for.
        minimum_size: smallest side in pixels that it accepts without its top.
        preprocessing: what its builder expects of pixels: `"caffe"` (BGR, ImageNet mean subtracted), `"tf"`
            ([-1, 1]), `"torch"` ([0, 1], ImageNet mean and deviation), `"zero_one"`, or `"included"` (raw
            RGB in [0, 255]; the network scales them itself).
        parameters: number of parameters with its top, those of BatchNorm statistics included.
        year, paper: when and where it was published.
        options: keyword arguments for the function of `built_by` that make this variant.
        classes: classes of the top that the builder makes by default.
        multiply_adds: at the native size, with the top (`counting.multiply_adds`); `None` if not counted.
        tasks: what it can be the backbone or the whole of.
        top_1, top_5: published accuracy in percent on the data set of `classes`, or `None`.
        accuracy_source: where these two figures come from.
        weights: names of weights that exist, besides `None` and a file; where torchvision alone has them, the
            address of the file to download.
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
    options: Mapping = field(default_factory=dict, hash=False)
    classes: int = 1000
    multiply_adds: int | None = None
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
        build = getattr(import_module(f"kerasvision.models.{module}"), function)
        return partial(build, name=self.name, **self.options) if self.options else build
