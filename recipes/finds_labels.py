"""What all that finds the class of each pixel can do with photos, trained or exported."""

import os
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path

from kerasvision.data import Preprocessing
from kerasvision.data.gathering import gather
from kerasvision.errors import DataError
from kerasvision.files import make_folder
from kerasvision.recipes.finds_boxes import JPEG, file_name, kept
from kerasvision.recipes.found_labels import FoundLabels
from kerasvision.recipes.label_network import LabelNetwork, label_photos
from kerasvision.recipes.predicting import split_and_places
from kerasvision.recipes.viewing import Viewing


class FindsLabels:
    """Drawing and judging for whatever has `labels`, `preprocessing`, `network` and `predict`."""

    finds = "labels"
    labels: tuple[str, ...]
    preprocessing: Preprocessing
    network: LabelNetwork
    predict: Callable[..., list[FoundLabels]]

    def draw(self, image, *, strength: float = 0.55, names: bool = True, **options):
        """Return a photo with each region in the colour of its class, and its name on it.

        Args:
            image: one image, as for `predict`.
            strength: opacity of the colours, from 0 to 1.
            names: write the names of the classes on their largest regions.
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
        return self.predict(image, **options)[0].overlay(sources[0], strength=strength, names=names)

    def draw_all(
        self,
        images,
        folder: str | os.PathLike | None = None,
        *,
        save: str | os.PathLike | None = None,
        strength: float = 0.55,
        names: bool = True,
        **options,
    ) -> list[FoundLabels]:
        """Find labels on images, and write each image in the colours of its classes, as JPEG files.

        Args:
            images: as for `predict`.
            folder: where to; created. A picture has the name of its image; files of before are replaced.
                None: none are drawn.
            save: a folder for the label maps themselves, as PNG files with a palette; None: none are saved.
            strength: opacity of the colours, from 0 to 1.
            names: write the names of the classes on their largest regions.
            **options: as for `predict`.

        Returns:
            What `predict` returns. Of many large photos use `draw_each`, which keeps none of it.
        """
        return list(self.draw_each(images, folder, save=save, strength=strength, names=names, **options))

    def draw_each(
        self,
        images,
        folder: str | os.PathLike | None = None,
        *,
        save: str | os.PathLike | None = None,
        strength: float = 0.55,
        names: bool = True,
        **options,
    ) -> Iterator[FoundLabels]:
        """Do what `draw_all` does as one goes through what it yields, in memory for a few photos.

        Yields:
            One `FoundLabels` an image, in order, after its files were written.
        """
        images = kept(images)
        sources, shown = gather(images)
        by_name = dict(zip(shown, sources, strict=True))
        if len(by_name) < len(shown):
            raise DataError("`images` names a file twice. Give each once.")
        folder, save = (path and make_folder(path) for path in (folder, save))
        used: set[str] = set()
        for one in self.predict_each(images, **options):
            stem = file_name(one.name, used)
            if folder:
                drawn = one.overlay(by_name[one.name], strength=strength, names=names)
                drawn.save(folder / f"{stem}.jpg", **JPEG)
            if save:
                one.save(save / f"{stem}.png")
            yield one

    def predict_each(self, images, *, on_bad_file: str = "raise", **options) -> Iterator[FoundLabels]:
        """Yield what `predict` returns, one after the other, in memory for a few photos.

        Args:
            images: as for `predict`.
            on_bad_file: `"raise"`, or `"skip"`: files that cannot be read are reported and left out.
            **options: how photos are shown to the network, as for `predict`.
        """
        viewing, (sources, names) = Viewing(**options), gather(images)
        found = label_photos(self.network, sources, names, viewing=viewing, on_bad_file=on_bad_file)
        return (FoundLabels(names[index], labels, tuple(self.labels)) for index, labels in found)

    def evaluate(self, data, split: str | None = None, **options):
        """Judge the segmenter on other images, at the size of their original masks.

        Args:
            data: a `VisionData` with masks, or a folder or file that one of the loaders of masks can read.
            split: by default test, else validation, else train (all of data that have no splits).
            **options: how photos are shown to the network, as for `predict`.

        Returns:
            A `SegmentationJudgement` over the classes of the segmenter.

        Raises:
            DataError: a class that the segmenter does not know, no such split, or data without masks.
        """
        from kerasvision.recipes import segmentation_judging as judging

        if isinstance(data, str | os.PathLike):
            data = self.read(data)
        if getattr(data, "task", None) != "segment":
            raise DataError(
                "`data` must be a VisionData with masks (task 'segment'). Received: "
                f"{getattr(data, 'task', type(data).__name__)!r}."
            )
        split, places = split_and_places(self.labels, data, split)
        data = replace(data, class_names=self.labels)
        return judging.judge_on(self.network, data, split, Viewing(**options), places).judgement

    def read(
        self,
        path: str | os.PathLike,
        *,
        masks: str | os.PathLike | None = None,
        annotations: str = "auto",
        on_bad_file: str = "raise",
        **told,
    ):
        """Return a `VisionData` of a folder or file with masks, for `evaluate`.

        Args:
            path: as for `kerasvision.data.read_masks`; where `masks` is given, the folder of the photos.
            masks: folder of the masks, where they are not found by `path` alone.
            annotations: in which layout the masks are, as for `kerasvision.data.read_masks`.
            on_bad_file: `"raise"` or `"skip"`.
            **told: `class_names`, `colours`, `void`, …, as for `kerasvision.data.masks`. By default the
                values of index masks, which name no classes, mean what they meant in training where a run
                knows it; else 0, 1, … are taken for the classes of the segmenter.
        """
        from kerasvision.data import masks as pairs
        from kerasvision.data.mask_formats import mask_format_of, read_masks

        path = Path(path).expanduser()
        settings = {"validation_fraction": 0.0, "cache": False, "on_bad_file": on_bad_file}
        settings |= self.preprocessing.to_dict()
        kind = mask_format_of(path) if annotations == "auto" and path.exists() else annotations
        if (masks is not None or kind == "folders") and not {"class_names", "colours"} & set(told):
            told = self._legend() | told
        if masks is not None:
            return pairs(path, masks, **told, **settings)
        return read_masks(path, annotations=annotations, **told, **settings)

    def _legend(self) -> dict:
        """Return what index masks mean where nothing is said, as arguments of `kerasvision.data.masks`."""
        return {"class_names": list(self.labels)}

    def _find(self, images, viewing: Viewing, on_bad_file: str) -> list[FoundLabels]:
        return list(self.predict_each(images, on_bad_file=on_bad_file, **asdict(viewing)))
