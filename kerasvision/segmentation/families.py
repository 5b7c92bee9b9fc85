"""Which segmenters there are: how each is laid out, and what people want to know before choosing one."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from kerasvision.errors import KerasvisionError, unknown_name
from kerasvision.models.sides import check_multiple


@dataclass(frozen=True)
class Family:
    """How segmenters of one name are laid out.

    Attributes:
        paper: where it is described.
        year: of the paper.
        layout: `"module:function"` inside `kerasvision.segmentation`, for networks on a backbone; `None` for
            those that are whole by themselves. The function is called with the backbone, a flat model from
            `image` to its last feature maps, the number of classes, `settings` and the user's options, and
            returns the logits, (b, h, w, classes), or a dict of `logits` and `auxiliary_1`, ….
        own: the same for the network of the paper, which needs no backbone: called with a model from `image`
            to its preprocessed pixels. `None` where there is none.
        multiple: sides of the image must be multiples of this.
        backbone: the default; `None` for the network of the paper.
        auxiliary: weight of the loss of each auxiliary output, 0 where there is none.
        preprocessing: of the pixels for `own`.
        own_weights: `"module:function"` that is called with a model of `own` and a source of weights.
        settings: keyword arguments that make this variant.
    """

    paper: str
    year: int
    layout: str | None = None
    own: str | None = None
    multiple: int = 32
    backbone: str | None = "mobilenet_v2"
    auxiliary: float = 0.0
    preprocessing: str = "zero_one"
    own_weights: str | None = None
    settings: Mapping = field(default_factory=dict, hash=False)


FAMILIES = {
    **{
        f"fcn_{stride}s": Family(
            "https://arxiv.org/abs/1411.4038", 2015, layout="fcn:fcn", settings={"stride": stride}
        )
        for stride in (32, 16, 8)
    },
    "unet": Family("https://arxiv.org/abs/1505.04597", 2015, layout="unet:unet"),
    "pspnet": Family("https://arxiv.org/abs/1612.01105", 2017, layout="pspnet:pspnet", auxiliary=0.4),
    "deeplab_v3_plus": Family("https://arxiv.org/abs/1802.02611", 2018, layout="deeplab:deeplab_v3_plus"),
    **{
        f"segformer_{size}": Family(
            "https://arxiv.org/abs/2105.15203",
            2021,
            layout="keras_cv:segformer",
            own="keras_cv:mix_segformer",
            backbone=None,
            settings={"size": size},
        )
        for size in ("b0", "b1", "b2", "b3", "b4", "b5")
    },
    # Every hourglass has the whole loss, as in the paper.
    "stacked_hourglass": Family(
        "https://arxiv.org/abs/1603.06937",
        2016,
        own="hourglass:stacked_hourglass",
        multiple=4,
        backbone=None,
        auxiliary=1.0,
    ),
    **{
        f"frrn_{form}": Family(
            "https://arxiv.org/abs/1611.08323",
            2017,
            own="frrn:frrn",
            multiple=multiple,
            backbone=None,
            settings={"form": form},
        )
        for form, multiple in (("a", 16), ("b", 32))
    },
}


def list_segmenters() -> list[str]:
    """Return the names that `segmenter` accepts.

    >>> "unet" in list_segmenters()
    True
    """
    return list(FAMILIES)


def family_of(name: str) -> Family:
    """Return the family of a segmenter's name.

    Raises:
        KerasvisionError: there is none; the closest names are in the message.
    """
    if name in FAMILIES:
        return FAMILIES[name]
    raise KerasvisionError(unknown_name("segmenter", name, FAMILIES))


def check_sides(name: str, image_size: tuple[int, int]) -> None:
    """Refuse a name that no segmenter has, or sides of images that it cannot have.

    Raises:
        KerasvisionError: saying what would do.
    """
    check_multiple(name, image_size, family_of(name).multiple)


def segmenter_table() -> list[dict]:
    """Return a row for each segmenter: name, backbone by default, multiple of image sides, year, paper."""
    return [
        {
            "name": name,
            "backbone": family.backbone or "its own",
            "sides": f"multiples of {family.multiple}",
            "auxiliary loss": family.auxiliary or None,
            "year": family.year,
            "paper": family.paper,
        }
        for name, family in FAMILIES.items()
    ]
