"""Which embedders there are: networks of papers that were made for faces, and every network for images."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module

from kerasvision.models.registry import entry, list_models


@dataclass(frozen=True)
class Network:
    """A network that was published as an embedder.

    Attributes:
        built_by: `"module:function"` inside `kerasvision.embedding`; its builder gives feature maps or
            vectors with `include_top=False`.
        native_size: side in pixels of the images of the paper.
        minimum_size: smallest side in pixels.
        dimensions: of the embedding of the paper; `None` where it is the features themselves.
        preprocessing: of the pixels.
        parameters: with the top of the paper.
        year, paper: when and where it was published.
        top_layers: layers with weights that only the network with its top has.
    """

    built_by: str
    native_size: int
    minimum_size: int
    dimensions: int | None
    preprocessing: str
    parameters: int
    year: int
    paper: str
    top_layers: tuple[str, ...] = ()

    @property
    def builder(self) -> Callable:
        """The builder, as those of keras.applications (loads TensorFlow)."""
        module, function = self.built_by.split(":")
        return getattr(import_module(f"kerasvision.embedding.{module}"), function)


FACENET = "https://arxiv.org/abs/1503.03832"
NETWORKS = {
    "deepface": Network(
        "deep_face:DeepFace",
        native_size=152,
        minimum_size=71,
        dimensions=None,
        preprocessing="zero_one",
        parameters=118_923_774,
        year=2014,
        paper="https://doi.org/10.1109/CVPR.2014.220",
        top_layers=("predictions",),
    ),
    "facenet_nn1": Network(
        "facenet:FaceNetNN1",
        native_size=220,
        minimum_size=32,
        dimensions=128,
        preprocessing="tf",
        parameters=140_025_664,
        year=2015,
        paper=FACENET,
        top_layers=("fc7128",),
    ),
    "facenet_nn2": Network(
        "facenet:FaceNetNN2",
        native_size=224,
        minimum_size=32,
        dimensions=128,
        preprocessing="tf",
        parameters=7_456_304,
        year=2015,
        paper=FACENET,
        top_layers=("fc",),
    ),
}


def list_embedders() -> list[str]:
    """Return the names that `embedder` accepts.

    >>> {"mobilenet_v2", "facenet_nn2"} <= set(list_embedders())
    True
    """
    return [*NETWORKS, *list_models("classify")]


def known_name(name: str) -> str:
    """Return a name as `list_embedders` has it; case, `-` and `_` do not matter.

    Raises:
        ValueError: there is no such network; the closest names are in the message.
    """
    return name if name in NETWORKS else entry(name).name
