"""From photos to label maps of their own size: whole or through windows, flipped, at several scales."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import lru_cache

import numpy as np
from PIL import Image

from kerasvision.data import Preprocessing, open_image
from kerasvision.data.headers import upright_size
from kerasvision.data.preprocessing import Placement
from kerasvision.errors import BadImageError, KerasvisionError
from kerasvision.progress import say, track
from kerasvision.recipes.label_bands import Layer, WholeGrid, label_map
from kerasvision.recipes.predicting import read_batches
from kerasvision.recipes.viewing import WHOLE, Viewing
from kerasvision.recipes.windows import WindowGrid

# Images of a batch: as many as the caches of a processor keep up with, fewer of large ones with many classes.
BATCH, BATCH_BYTES = 8, 64 << 20


class LabelNetwork:
    """A segmenter as a function from images to scores of classes.

    Args:
        scores: (b, h, w, 3) uint8, whether probabilities are wanted -> (b, classes, rows, columns) float32:
            logits or probabilities.
        preprocessing: how a photo becomes an image.
        classes: how many there are.
        resized: (height, width) -> the same for images of this size; None: there is no other.
        multiple: sides of these must be multiples of it.
    """

    def __init__(
        self,
        scores: Callable[[np.ndarray, bool], np.ndarray],
        preprocessing: Preprocessing,
        classes: int,
        *,
        resized: Callable[[tuple[int, int]], "LabelNetwork"] | None = None,
        multiple: int = 32,
    ):
        self._scores, self.preprocessing, self.classes = scores, preprocessing, classes
        self._resized = None if resized is None else lru_cache(maxsize=8)(resized)
        self.multiple = multiple

    @classmethod
    def of_model(cls, model, preprocessing: Preprocessing, rebuild: Callable | None = None, multiple=32):
        """Return that of a `keras.Model` with logits alone.

        Args:
            model: raw RGB (b, h, w, 3) -> logits (b, h, w, classes).
            preprocessing: how a photo becomes an image.
            rebuild: (height, width) -> the model for images of this size, with the same weights.
            multiple: sides of these must be multiples of it.
        """

        def resized(size: tuple[int, int]) -> LabelNetwork:
            return cls.of_model(rebuild(size), replace(preprocessing, image_size=size))

        return cls(
            compiled(model),
            preprocessing,
            model.output_shape[-1],
            resized=resized if rebuild else None,
            multiple=multiple,
        )

    @property
    def batch(self) -> int:
        """How many images are shown to it at once."""
        height, width = self.preprocessing.image_size
        return max(1, min(BATCH, BATCH_BYTES // (4 * height * width * self.classes)))

    def at(self, scale: float) -> "LabelNetwork":
        """Return the network for images that are larger by a factor, to the next size that it can take.

        Raises:
            KerasvisionError: it takes images of one size only.
        """
        sides = self.preprocessing.image_size
        size = tuple(max(1, round(side * scale / self.multiple)) * self.multiple for side in sides)
        if size == sides or scale == 1.0:
            return self
        if self._resized is None:
            raise KerasvisionError(
                f"`scales` must be (1.0,) for this segmenter: it takes images of {sides} only. With "
                'mode="sliding" it is the photo that is scaled.'
            )
        return self._resized(size)

    def scores(self, images: np.ndarray, *, flip: bool = False, probable: bool = False) -> np.ndarray:
        """Return (b, classes, rows, columns) float32: logits, or probabilities where any are averaged.

        Args:
            images: (b, h, w, 3) uint8 of the network's size.
            flip: average with the mirrored images.
            probable: probabilities in any case.
        """
        found = self._scores(images, probable or flip)
        if flip:
            found = (found + self._scores(np.ascontiguousarray(images[:, :, ::-1]), True)[..., ::-1]) / 2
        return found


def compiled(model) -> Callable[[np.ndarray, bool], np.ndarray]:
    """Return a model as a compiled function of images and of whether probabilities are wanted.

    Its weights must not change any more: BatchNorm is folded into a copy.
    """
    import tensorflow as tf

    from kerasvision.models import fold_batchnorm

    shape = tf.TensorSpec((None, *model.input_shape[1:]), tf.uint8)
    folded = fold_batchnorm(model)

    def graph(probable: bool):
        def forward(images):
            logits = tf.cast(folded(tf.cast(images, tf.float32), training=False), tf.float32)
            return tf.transpose(tf.nn.softmax(logits) if probable else logits, (0, 3, 1, 2))

        return tf.function(forward, input_signature=[shape], autograph=False)

    graphs = {probable: graph(probable) for probable in (False, True)}
    return lambda images, probable: graphs[probable](np.ascontiguousarray(images)).numpy()


def label_photos(
    network: LabelNetwork,
    sources: Sequence,
    names: Sequence[str],
    *,
    viewing: Viewing = WHOLE,
    sizes: Callable[[int], tuple[int, int]] | None = None,
    on_bad_file: str = "raise",
) -> Iterator[tuple[int, np.ndarray]]:
    """Yield the label map of each photo, one after the other: no more than a few are in memory.

    Args:
        network: what finds the labels.
        sources: paths, bytes or uint8 arrays.
        names: for errors.
        viewing: how each photo is shown to the network.
        sizes: index -> (height, width) of the label map; by default those of the upright photos.
        on_bad_file: `"raise"` or `"skip"`.

    Yields:
        The index of each source that can be read, in order, and its label map (h, w) uint8; 255 where the
        network does not see the photo (`resize="crop"`).

    Raises:
        BadImageError: an image cannot be read.
        DataError: `on_bad_file` is neither.
        KerasvisionError: the network cannot see photos like that.
    """
    sizes = sizes or (lambda index: upright_size(sources[index], names[index]))
    one_by_one = _label_batches if viewing.plain else _label_singly
    return one_by_one(network, sources, names, viewing, sizes, on_bad_file)


def _label_batches(network, sources, names, viewing: Viewing, sizes, on_bad_file: str):
    """Show whole photos to the network, many at a time, which threads decode ahead."""
    preprocessing, batch = network.preprocessing, network.batch
    read = read_batches(preprocessing, sources, names, on_bad_file=on_bad_file, batch_size=batch)
    for images, first, usable in read:
        scores = network.scores(images, flip=viewing.flip)
        for place in usable:
            size = sizes(first + place)
            grid = WholeGrid(scores[place])
            yield first + place, label_map([Layer(grid, _on_grid(preprocessing, size, grid.size))], size)


def _label_singly(network, sources, names, viewing: Viewing, sizes, on_bad_file: str):
    """Show one photo after the other to the network, as often as it takes."""
    from kerasvision.data.reading import check_mode

    check_mode(on_bad_file)
    for index in track(range(len(sources)), "predict"):
        try:
            size = sizes(index)
            labels = label_map(_layers(network, sources[index], names[index], size, viewing), size)
        except BadImageError as error:
            if on_bad_file == "raise":
                raise
            say(f"Left out: {error}")
            continue
        yield index, labels


def _layers(network: LabelNetwork, source, name: str, size: tuple[int, int], viewing: Viewing) -> list[Layer]:
    if viewing.mode == "whole":
        return [_whole(network.at(scale), source, name, size, viewing.flip) for scale in viewing.scales]
    photo = open_image(source, name=name)
    return [_windows(network, photo, size, scale, viewing) for scale in viewing.scales]


def _whole(network: LabelNetwork, source, name: str, size: tuple[int, int], flip: bool) -> Layer:
    image = network.preprocessing.read(source, name)
    (scores,) = network.scores(image[None], flip=flip, probable=True)
    return Layer(WholeGrid(scores), _on_grid(network.preprocessing, size, scores.shape[1:]))


def _windows(
    network: LabelNetwork, photo: Image.Image, size: tuple[int, int], scale: float, viewing: Viewing
) -> Layer:
    width, height = (max(1, round(side * scale)) for side in photo.size)
    if (width, height) != photo.size:
        photo = photo.resize((width, height), Image.Resampling.BILINEAR, reducing_gap=3.0)
    window = network.preprocessing.image_size

    def answer(images: np.ndarray) -> np.ndarray:
        scores = network.scores(images, flip=viewing.flip, probable=True)
        if scores.shape[2:] != window:
            raise KerasvisionError(
                '`mode` must be "whole" for this segmenter: windows need answers in their own size, '
                f"{window}, and it gives {scores.shape[2:]}."
            )
        return scores

    grid = WindowGrid(
        photo=np.asarray(photo),
        answer=answer,
        window=window,
        overlap=viewing.overlap,
        classes=network.classes,
        batch=network.batch,
    )
    return Layer(grid, Placement(height / size[0], width / size[1], 0.0, 0.0))


def _on_grid(preprocessing: Preprocessing, size: tuple[int, int], grid: tuple[int, int]) -> Placement:
    """Return where a photo lies on the scores of its resized image, which may be coarser than that."""
    scale_y, scale_x, offset_y, offset_x = preprocessing.place(size)
    down, across = (places / side for places, side in zip(grid, preprocessing.image_size, strict=True))
    return Placement(scale_y * down, scale_x * across, offset_y * down, offset_x * across)
