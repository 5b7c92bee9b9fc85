"""Masks of tensorflow-datasets: which feature holds them, and on to a `VisionData`."""

from collections.abc import Sequence
from dataclasses import dataclass

from kerasvision.data.decoding import Source
from kerasvision.data.in_memory import NumberedNames
from kerasvision.data.mask_loading import MaskedPhotos, MaskSettings, load_masks
from kerasvision.data.vision_data import VisionData
from kerasvision.errors import DataError


@dataclass(frozen=True)
class MaskFeature:
    """Where a data set keeps its masks.

    Args:
        key: the feature that is the mask.
        image_key: the feature that is the photo.
        names: of the values of masks, `None` where the feature does not say.
    """

    key: str
    image_key: str
    names: tuple[str, ...] | None


def mask_feature(builder, key: str | None, image_key: str | None) -> MaskFeature:
    """Return where the masks and photos of this builder are.

    Args:
        builder: of tensorflow-datasets.
        key: the feature of the masks, `None` for the only image of one channel.
        image_key: the feature of the photos, `None` for the only other image, or the only one with colours.

    Raises:
        DataError: there is none, or there are several and none was asked for.
    """
    features = dict(builder.info.features.items())
    images = [name for name, one in features.items() if type(one).__name__ in ("Image", "LabeledImage")]
    masks = [name for name in images if name != image_key and features[name].shape[-1] == 1]
    if key is None and len(masks) == 1:
        (key,) = masks
    if key not in images or key == image_key:
        raise _not_clear("mask_key", "an image of one channel", builder, masks, key)
    photos = [name for name in images if name != key]
    coloured = [name for name in photos if features[name].shape[-1] != 1]
    if image_key is None and len(coloured or photos) == 1:
        (image_key,) = coloured or photos
    if image_key not in photos:
        raise _not_clear("image_key", "the image that masks lie on", builder, photos, image_key)
    labelled = getattr(features[key], "num_classes", None)
    return MaskFeature(key, image_key, tuple(features[key].names) if labelled else None)


def _not_clear(argument: str, what: str, builder, fitting: Sequence[str], given) -> DataError:
    return DataError(
        f"`{argument}` must name a feature of {builder.info.full_name} that is {what}. It has: "
        f"{', '.join(fitting) or 'none'} (all features: {', '.join(builder.info.features)}). "
        f"Received: {given!r}."
    )


def load_packed_masks(
    photos: Sequence[Source],
    masks: Sequence[bytes],
    splits: Sequence[str],
    settings: MaskSettings,
    title: str,
) -> VisionData:
    """Make a `VisionData` of packed photos and packed masks in one order.

    Args:
        photos: of all splits, one split behind the other.
        masks: encoded, in the order of photos.
        splits: of each photo.
        settings: the arguments of the loader.
        title: what to call an image, before its number.

    Raises:
        BadAnnotationError: as for `load_masks`.
        DataError: as for `load_masks`.
    """
    count = len(photos)
    found = MaskedPhotos(
        photos=photos,
        masks=masks,
        names=NumberedNames(title, count),
        splits=splits,
        packed=True,
        mask_names=NumberedNames(f"{title} mask", count),
    )
    return load_masks(found, settings, origin=f"tensorflow-datasets {title}")
