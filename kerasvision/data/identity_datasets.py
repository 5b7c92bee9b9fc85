"""Data sets of tensorflow-datasets whose labels are identities, as a `VisionData`."""

import os
from collections.abc import Mapping, Sequence

import numpy as np

from kerasvision.data.datasets import (
    check_labelled,
    choose_splits,
    feature_named,
    open_builder,
    pack_home,
    packed_splits,
)
from kerasvision.data.identities import identity_settings
from kerasvision.data.labelled_loading import load_packed
from kerasvision.data.pixel_cache import DEFAULT_LIMIT
from kerasvision.data.preprocessing import Resize
from kerasvision.data.vision_data import VisionData
from kerasvision.errors import DataError


def identity_tfds(
    name,
    *,
    splits: Mapping[str, str] | None = None,
    data_dir: str | os.PathLike | None = None,
    download: bool = True,
    image_key: str | None = None,
    identity_key: str | None = None,
    image_size: int | tuple[int, int] = 112,
    by_identity_split: Sequence[float] = (0.8, 0.2),
    seed: int = 0,
    batch_size: int = 32,
    resize: Resize = "stretch",
    cache: bool | str | os.PathLike = "auto",
    cache_limit: int = DEFAULT_LIMIT,
) -> VisionData:
    """Use a data set of tensorflow-datasets whose labels are identities.

    Args:
        name: as for `from_tfds`, for example `"lfw"` or `"omniglot"`.
        splits: as for `from_tfds`. Where the splits of the data set share identities, join them:
            `{"train": "train+test"}`; they are then cut by identity.
        data_dir: where tensorflow-datasets keeps its data.
        download: whether to download and prepare what is not there.
        image_key: feature that holds the image; by default the only `Image`.
        identity_key: feature that says who it is, a class, a text or a whole number; by default the only
            class, or else the only text.
        image_size: (height, width) in pixels, or one number.
        by_identity_split: as for `identity_folder`, for splits that are not there.
        seed: of the splits and of the order of training images.
        batch_size: images in a batch.
        resize: as for `Preprocessing`.
        cache: of decoded pixels, as for `image_folder`.
        cache_limit: as for `image_folder`.

    Returns:
        A `VisionData` of task `"embed"`.

    Raises:
        DataError: as for `from_tfds`, or an identity is in two splits.
    """
    settings = identity_settings(
        by_identity_split,
        image_size=image_size,
        seed=seed,
        batch_size=batch_size,
        resize=resize,
        cache=cache,
        cache_limit=cache_limit,
    )
    builder = open_builder(name, data_dir, download)
    image_key = feature_named(builder, image_key, "Image", "image_key")
    key = _identity_key(builder, identity_key)
    chosen = choose_splits(builder, splits)
    sources, tables = packed_splits(
        builder,
        chosen,
        pack_home(cache),
        image_key,
        key,
        lambda example: {"identity": np.array([example[key]])},
    )
    given = np.repeat(list(tables), [len(table["identity"]) for table in tables.values()])
    labels, names = _numbered(builder, key, {part: table["identity"] for part, table in tables.items()})
    return load_packed(
        sources, labels, settings, class_names=names, given=given, title=builder.info.full_name
    )


def _identity_key(builder, key: str | None) -> str:
    """Return the feature that names identities: of one value, which is a class, a text or a whole number."""
    features = dict(builder.info.features.items())
    if key is None:
        kinds = [type(feature).__name__ for feature in features.values()]
        return feature_named(builder, key, "ClassLabel" if "ClassLabel" in kinds else "Text", "identity_key")
    feature = features.get(key)
    whole = getattr(feature, "shape", None) == () and np.issubdtype(feature.np_dtype, np.integer)
    if type(feature).__name__ not in ("ClassLabel", "Text") and not whole:
        raise DataError(
            f"`identity_key` must name a class, a text or a whole number of {builder.info.full_name}. All "
            f"features: {', '.join(features)}. Received: {key!r}."
        )
    return key


def _numbered(builder, key: str, values: Mapping[str, np.ndarray]) -> tuple[np.ndarray, list[str]]:
    """Return labels and the name of each: those that occur, in order of number or of name."""
    feature = builder.info.features[key]
    classes = getattr(feature, "names", None)
    if classes is not None:
        check_labelled(builder, values)
    kinds, labels = np.unique(np.concatenate(list(values.values())), return_inverse=True)
    if classes is not None:
        return labels, [classes[kind] for kind in kinds]
    return labels, [kind.decode() if isinstance(kind, bytes) else str(kind) for kind in kinds]
