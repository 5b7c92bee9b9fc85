"""From image files with one label each to a `VisionData`: of classes, or of identities."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from kerasvision.data.alignment import Template
from kerasvision.data.assembling import assemble
from kerasvision.data.in_memory import NumberedNames
from kerasvision.data.landmarks import Detector, Landmarks, photos_aligned
from kerasvision.data.pixel_cache import DEFAULT_LIMIT, pixel_cache
from kerasvision.data.preprocessing import Preprocessing, Resize
from kerasvision.data.reading import (
    Found,
    check_mode,
    first_of,
    keep_readable,
    open_cache,
    report_skipped,
)
from kerasvision.data.vision_data import VisionData
from kerasvision.errors import BadImageError
from kerasvision.progress import say


@dataclass(frozen=True)
class LabelSettings:
    """The arguments that loaders of labelled images share; `image_folder` describes them.

    Args:
        task: what a label is: `"classify"`, a class; `"embed"`, an identity, and fractions are then of
            identities.
        landmarks: of faces to be aligned, as for `identity_folder`.
        template: as for `align`; used where there are landmarks.
    """

    image_size: int | tuple[int, int] = 224
    validation_fraction: float = 0.2
    test_fraction: float = 0.0
    seed: int = 0
    batch_size: int = 32
    resize: Resize = "stretch"
    on_bad_file: Literal["raise", "skip"] = "raise"
    cache: bool | str | os.PathLike = "auto"
    cache_limit: int = DEFAULT_LIMIT
    task: Literal["classify", "embed"] = "classify"
    landmarks: str | os.PathLike | Landmarks | Detector | None = None
    template: Template = "arcface"

    def __post_init__(self):
        check_mode(self.on_bad_file)
        _ = self.preprocessing  # says what is wrong before anything is read

    @property
    def preprocessing(self) -> Preprocessing:
        """Decode and resize."""
        return Preprocessing(self.image_size, self.resize, self.template if self.aligned else None)

    @property
    def aligned(self) -> bool:
        """Whether faces are aligned."""
        return self.landmarks is not None


def load_labelled(
    found: Found,
    class_names: Sequence[str],
    settings: LabelSettings,
    *,
    origin: str,
    outside: Path | None = None,
    skipped: Sequence[BadImageError] = (),
    notes: Sequence[str] = (),
) -> VisionData:
    """Open the cache, leave out what cannot be read, cut the splits that are not given, put all together.

    Args:
        found: the images.
        class_names: name of each label.
        settings: the arguments of the loader.
        origin: what the data were made from.
        outside: a folder of the user in which no cache may lie.
        skipped: images that are left out already.
        notes: what the reader noticed.

    Raises:
        DataError: as for `keep_readable` and `assemble`.
    """
    files, marks = found, None
    if settings.aligned:
        found, marks = _aligned(found, settings)
    store = open_cache(
        settings.cache, files, settings.preprocessing, settings.cache_limit, outside=outside, marks=marks
    )
    kept = keep_readable(found, class_names, settings.preprocessing, store, settings.on_bad_file)
    notes, skipped = (*notes, *kept.notes), (*skipped, *kept.skipped)
    for note in notes:
        say(note)
    report_skipped(skipped)
    return assemble(
        task=settings.task,
        sources=kept.found.paths,
        labels=kept.found.labels,
        names=kept.found.names,
        class_names=kept.class_names,
        preprocessing=settings.preprocessing,
        validation_fraction=settings.validation_fraction,
        test_fraction=settings.test_fraction,
        given=kept.found.splits,
        seed=settings.seed,
        batch_size=settings.batch_size,
        origin=origin,
        skipped=skipped,
        notes=notes,
        cache=store,
        slots=kept.slots,
    )


def _aligned(found: Found, settings: LabelSettings) -> tuple[Found, list[str]]:
    """Return faces in the place of photos, and what each of them depends on besides its file.

    Raises:
        BadImageError: (`on_bad_file="raise"`) a photo has no face or cannot be read.
    """
    size = settings.preprocessing.image_size[0]
    faces = photos_aligned(found.paths, found.names, settings.landmarks, size, settings.template)
    missing = [
        BadImageError(path, reason)
        for path, reason in zip(found.paths, faces.points, strict=True)
        if isinstance(reason, str)
    ]
    if missing and settings.on_bad_file == "raise":
        raise first_of(missing, "them")
    return replace(found, paths=faces), faces.marks()


def load_packed(
    sources: Sequence[bytes],
    labels: np.ndarray,
    settings: LabelSettings,
    *,
    class_names: Sequence[str],
    given: np.ndarray,
    title: str,
) -> VisionData:
    """Make a `VisionData` of packed images (`datasets.PackedImages`) with one label each.

    Args:
        sources: N encoded images, with `.size` in bytes and `.fingerprint()`.
        labels: (N,) int.
        settings: the arguments of the loader.
        class_names: name of each label.
        given: (N,) of "train", "validation", "test".
        title: name of the data set, which an image is called by with its number.

    Raises:
        DataError: as for `assemble`.
    """
    store = pixel_cache(
        settings.cache,
        facts=[sources.fingerprint()],
        count=len(sources),
        preprocessing=settings.preprocessing,
        encoded_bytes=sources.size,
        limit=settings.cache_limit,
    )
    return assemble(
        task=settings.task,
        sources=sources,
        labels=labels,
        names=NumberedNames(title, len(sources)),
        class_names=class_names,
        preprocessing=settings.preprocessing,
        validation_fraction=settings.validation_fraction,
        test_fraction=settings.test_fraction,
        given=given,
        seed=settings.seed,
        batch_size=settings.batch_size,
        origin=f"tensorflow-datasets {title}",
        cache=store,
    )
