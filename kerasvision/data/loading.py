"""Batches in exactly the order asked for, decoded by threads, with a bounded number ahead."""

import os
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np

# A task decodes up to this many images: handing over one image costs 30 to 50 us, as much as reading it
# from the pixel cache.
_PER_TASK = 8
_AHEAD = 2


def epoch_order(count: int, seed: int, epoch: int) -> np.ndarray:
    """Return the order of an epoch: a permutation that depends on nothing but its arguments.

    Args:
        count: number of images.
        seed: of the run or the data set.
        epoch: counted from 0.

    Example:
        >>> epoch_order(5, seed=0, epoch=1).tolist() == epoch_order(5, seed=0, epoch=1).tolist()
        True
    """
    return np.random.default_rng((seed, epoch)).permutation(count)


def iterate_batches(
    read_into: Callable[[int, np.ndarray], None],
    labels: np.ndarray,
    image_size: tuple[int, int],
    *,
    order: np.ndarray,
    batch_size: int,
    start: int = 0,
    drop_last: bool = False,
    workers: int | None = None,
    read_mask_into: Callable[[int, np.ndarray], None] | None = None,
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield (images, labels) for `order`, decoding in threads a few batches ahead.

    Closing the iterator, an error or Ctrl-C ends the threads after the image each is at.

    Args:
        read_into: puts the image of an index into an array (h, w, 3) uint8; is called by several threads.
        labels: (N,) int32 of all images, by index; or what gives the targets of an array of indices by `[…]`.
        image_size: (height, width).
        order: (M,) indices.
        batch_size: images in a batch.
        start: number of batches to leave out at the front, without decoding them.
        drop_last: leave out a last batch that is not full.
        workers: number of threads; by default one a core.
        read_mask_into: puts the mask of an index into an array (h, w) uint8; masks then take the place of
            labels.

    Yields:
        images (b, height, width, 3) uint8, labels (b,) int32 or masks (b, height, width) uint8.

    Raises:
        BadImageError: what `read_into` raised, in the place of the batch that held the image.
    """
    workers = workers or usable_cores()
    stop = threading.Event()
    pending: deque[tuple[np.ndarray, np.ndarray, list[Future]]] = deque()
    ahead = max(_AHEAD, -(-2 * workers // batch_size))
    pool = ThreadPoolExecutor(workers, thread_name_prefix="kerasvision-read")

    def fill(images: np.ndarray, targets, indices: np.ndarray) -> None:
        for place, index in enumerate(indices):
            if stop.is_set():
                return
            read_into(int(index), images[place])
            if read_mask_into is not None:
                read_mask_into(int(index), targets[place])

    def begin(indices: np.ndarray) -> None:
        images = np.empty((len(indices), *image_size, 3), np.uint8)
        masks = None if read_mask_into is None else np.empty((len(indices), *image_size), np.uint8)
        step = max(1, min(_PER_TASK, -(-len(indices) // workers)))
        parts = [slice(at, at + step) for at in range(0, len(indices), step)]
        tasks = [
            pool.submit(fill, images[part], None if masks is None else masks[part], indices[part])
            for part in parts
        ]
        pending.append((images, labels[indices] if masks is None else masks, tasks))

    def finished() -> tuple[np.ndarray, np.ndarray]:
        images, batch_labels, tasks = pending.popleft()
        for task in tasks:
            task.result()
        return images, batch_labels

    try:
        for indices in _cut(order, batch_size, start, drop_last):
            begin(indices)
            if len(pending) > ahead:
                yield finished()
        while pending:
            yield finished()
    finally:
        stop.set()
        pool.shutdown(wait=True, cancel_futures=True)


def batch_count(count: int, batch_size: int, drop_last: bool = False) -> int:
    """Return the number of batches that `count` images make."""
    return count // batch_size if drop_last else -(-count // batch_size)


def usable_cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def as_tf_dataset(
    batches: Callable[[], Iterator],
    image_size: tuple[int, int],
    count: int,
    boxes: int | None = None,
    masks: bool = False,
):
    """Return a `tf.data.Dataset` of (uint8 (b, h, w, 3), int32 (b,)) over an iterator of batches.

    Args:
        batches: called at the start of each pass.
        image_size: (height, width).
        count: number of batches in a pass.
        boxes: places for boxes on each image, if the targets are boxes instead of labels.
        masks: the targets are masks uint8 (b, h, w) instead.

    An unreadable image ends the pass with a TensorFlow error that quotes the `BadImageError`.
    """
    import tensorflow as tf

    signature = (
        tf.TensorSpec((None, *image_size, 3), tf.uint8, name="images"),
        _target_specs(tf, image_size, boxes, masks),
    )
    dataset = tf.data.Dataset.from_generator(batches, output_signature=signature)
    # One batch ahead is enough: `iterate_batches` decodes ahead itself.
    return dataset.apply(tf.data.experimental.assert_cardinality(count)).prefetch(1)


def _target_specs(tf, image_size: tuple[int, int], boxes: int | None, masks: bool):
    if masks:
        return tf.TensorSpec((None, *image_size), tf.uint8, name="masks")
    if boxes is None:
        return tf.TensorSpec((None,), tf.int32, name="labels")
    return {
        "boxes": tf.TensorSpec((None, boxes, 4), tf.float32),
        "classes": tf.TensorSpec((None, boxes), tf.int32),
        "crowd": tf.TensorSpec((None, boxes), tf.bool),
    }


def _cut(order: np.ndarray, batch_size: int, start: int, drop_last: bool) -> Iterator[np.ndarray]:
    for number in range(start, batch_count(len(order), batch_size, drop_last)):
        yield order[number * batch_size : (number + 1) * batch_size]
