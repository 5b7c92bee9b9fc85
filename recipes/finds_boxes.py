"""What all that finds boxes on photos can do with them, trained or exported."""

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from kerasvision.data.gathering import gather
from kerasvision.errors import DataError
from kerasvision.files import make_folder
from kerasvision.recipes.found_boxes import FoundBoxes, found_boxes
from kerasvision.recipes.predicting import split_and_places

JPEG = {"format": "JPEG", "quality": 92}


class FindsBoxes:
    """Drawing and judging for whatever has `labels`, `preprocessing` and `predict`."""

    finds = "boxes"
    labels: tuple[str, ...]
    predict: Callable[..., list[FoundBoxes]]

    def draw(self, image, **options):
        """Return a photo with what is found on it drawn in.

        Args:
            image: one image, as for `predict`.
            **options: as for `predict`.

        Returns:
            A `PIL.Image`, as large as the upright photo.

        Raises:
            DataError: it is more than one image; `draw_all` takes many.
        """
        image = kept(image)
        sources, _ = gather(image)
        if len(sources) > 1:
            raise DataError(
                f"`draw` takes one image. Received: {len(sources)}. Use draw_all(images, folder) for many."
            )
        return self._drawn(sources[0], self.predict(image, **options)[0])

    def draw_all(self, images, folder: str | os.PathLike, **options) -> list[FoundBoxes]:
        """Find boxes on images, and write each image with its boxes drawn in, as JPEG files, into a folder.

        Args:
            images: as for `predict`.
            folder: where to; created. A picture has the name of its image; files of before are replaced.
            **options: as for `predict`.

        Returns:
            What `predict` returns.
        """
        images = kept(images)
        sources, names = gather(images)
        by_name = dict(zip(names, sources, strict=True))
        folder, used = make_folder(folder), set()
        if len(by_name) < len(names):
            raise DataError("`images` names a file twice. Give each once.")
        found = self.predict(images, **options)
        for one in found:
            self._drawn(by_name[one.name], one).save(folder / f"{file_name(one.name, used)}.jpg", **JPEG)
        return found

    def _drawn(self, source, found: FoundBoxes):
        from kerasvision.data import open_image
        from kerasvision.report import draw_boxes

        labels = [self.labels.index(label) for label in found.labels]
        texts = [f"{label} {score:.2f}" for label, score in zip(found.labels, found.scores, strict=True)]
        return draw_boxes(open_image(source, name=found.name), found.boxes, labels, texts)

    def evaluate(self, data, split: str | None = None):
        """Judge the detector on other images.

        Args:
            data: a `VisionData` with boxes, or a folder or file that one of the loaders of boxes can read.
            split: by default test, else validation, else train (all of data that have no splits).

        Returns:
            A `DetectionJudgement` over the classes of the detector.

        Raises:
            DataError: a class that the detector does not know, no such split, or data without boxes.
        """
        from kerasvision.recipes import detection_judging as judging

        if isinstance(data, str | os.PathLike):
            from kerasvision.data import read_boxes

            settings = self.preprocessing.to_dict()
            data = read_boxes(data, validation_fraction=0.0, cache=False, **settings)
        if data.task != "detect":
            raise DataError(f"`data` must have boxes (task 'detect'). Received: task {data.task!r}.")
        split, places = split_and_places(self.labels, data, split)
        part = data.splits[split]
        boxes = [replace(one, labels=places[one.labels]) for one in part.boxes]
        renamed = replace(
            data,
            class_names=self.labels,
            preprocessing=self.preprocessing,
            cache=None,
            splits={split: replace(part, boxes=boxes)},
        )
        found = judging.find_on(self._judging_function(), renamed, split)
        return judging.judge_splits(renamed, {split: found})[split]

    def _judging_function(self) -> Callable:
        """Return images -> `Detections`, also those of low scores."""
        raise NotImplementedError

    def _find(self, images, function: Callable, thresholds: np.ndarray, on_bad_file: str) -> list[FoundBoxes]:
        sources, names = gather(images)
        return found_boxes(
            function,
            self.preprocessing,
            sources,
            names,
            self.labels,
            thresholds,
            on_bad_file=on_bad_file,
        )


def kept(images):
    """Return images that can be gone through twice."""
    return list(images) if isinstance(images, Iterator) else images


def file_name(name: str, used: set[str]) -> str:
    """Return a name, without ending, for the picture of an image that no other picture of this call has."""
    stem = Path(name).stem or "image"
    choice, number = stem, 2
    while choice in used:
        choice, number = f"{stem}-{number}", number + 1
    used.add(choice)
    return choice
