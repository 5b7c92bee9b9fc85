"""Which detectors there are: how each is laid out, and what people want to know before choosing one."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from kerasvision.errors import KerasvisionError, unknown_name
from kerasvision.models.sides import check_multiple


@dataclass(frozen=True)
class Family:
    """How detectors of one name are laid out.

    Attributes:
        layout: `"module:function"` inside `kerasvision.detection`. The function is called with the backbone,
            a flat model from `image` to its last feature maps, the number of classes, `settings` and the
            user's options, and returns the raw outputs, name -> Keras tensor, and their `Head`.
        backbone: name of the network that is the default; or, where the family has one of its own,
            `"module:function"`, which is called with `settings` and returns a network for pixels in [0, 1].
        paper: where it is described.
        year: of the paper; YOLOv8 has none, but a repository.
        multiple: sides of the image must be multiples of this.
        settings: keyword arguments that make this variant.
        scratch: options by default where nothing has trained weights.
        finetuning_rate: by what the usual learning rates are multiplied where a trained backbone is adapted.
    """

    layout: str
    backbone: str
    paper: str
    year: int
    multiple: int = 1
    settings: Mapping = field(default_factory=dict, hash=False)
    scratch: Mapping = field(default_factory=dict, hash=False)
    finetuning_rate: float = 1.0


_SSD = {"paper": "https://arxiv.org/abs/1512.02325", "year": 2016}
_YOLO_V8 = {"paper": "https://github.com/ultralytics/ultralytics", "year": 2023, "multiple": 32}
FAMILIES = {
    "retinanet": Family(
        "keras_cv:retinanet",
        "resnet50",
        "https://arxiv.org/abs/1708.02002",
        year=2017,
        multiple=32,
        scratch={"batchnorm": True},
    ),
    **{
        f"yolo_v8_{size}": Family(
            "keras_cv:yolo_v8", "keras_cv:yolo_v8_backbone", **_YOLO_V8, settings={"size": size}
        )
        for size in ("xs", "s", "m", "l")
    },
    "ssd300": Family("ssd_network:ssd", "vgg16", **_SSD, settings={"most": 6}),
    "ssd512": Family(
        "ssd_network:ssd", "vgg16", **_SSD, settings={"most": 7, "smallest": 0.15, "first": 0.07}
    ),
    "yolo_v1": Family(
        "yolo_v1_network:yolo_v1",
        "yolo_v1_network:paper_backbone",
        "https://arxiv.org/abs/1506.02640",
        year=2016,
        # On BCCD the loss rose with 1e-3 and AP50 stayed below 0.04; with 3e-4 it was 0.4 after 19 epochs.
        finetuning_rate=0.3,
    ),
}


def list_detectors() -> list[str]:
    """Return the names that `detector` accepts.

    >>> "retinanet" in list_detectors()
    True
    """
    return list(FAMILIES)


def family_of(name: str) -> Family:
    """Return the family of a detector's name.

    Raises:
        KerasvisionError: there is none; the closest names are in the message.
    """
    if name in FAMILIES:
        return FAMILIES[name]
    raise KerasvisionError(unknown_name("detector", name, FAMILIES))


def check_sides(name: str, image_size: tuple[int, int]) -> None:
    """Refuse a name that no detector has, or sides of images that it cannot have.

    Raises:
        KerasvisionError: saying what would do.
    """
    check_multiple(name, image_size, family_of(name).multiple)


def detector_table() -> list[dict]:
    """Return a row for each detector: name, backbone by default, multiple of image sides, year, paper."""
    return [
        {
            "name": name,
            "backbone": "its own" if ":" in family.backbone else family.backbone,
            "sides": f"multiples of {family.multiple}" if family.multiple > 1 else "any",
            "year": family.year,
            "paper": family.paper,
        }
        for name, family in FAMILIES.items()
    ]
