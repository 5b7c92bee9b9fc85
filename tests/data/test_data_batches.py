"""Batches: exactly in order, few ahead, and nothing left behind when one stops."""

import os
import pickle
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from PIL import Image

from kerasvision.data import Preprocessing, Samples, VisionData, from_arrays, image_folder, shapes
from kerasvision.data.loading import epoch_order, iterate_batches
from kerasvision.errors import BadImageError, DataError


def numbered(count: int, **arguments) -> VisionData:
    """Return images whose pixels are their number, all in training."""
    images = np.repeat(np.arange(count, dtype=np.uint8), 8 * 8 * 3).reshape(count, 8, 8, 3)
    labels = np.arange(count) % 3
    return from_arrays(images, labels, ["a", "b", "c"], validation_fraction=0.0, **arguments)


def reading_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("kerasvision-")]


@pytest.mark.parametrize("drop_last", [False, True])
@pytest.mark.parametrize("batch_size", [1, 3, 4, 30, 100])
@pytest.mark.parametrize("start", [0, 1, 2, 50])
def test_batches_are_the_slices_of_the_order(batch_size, start, drop_last):
    data = numbered(30)
    order = np.random.default_rng(0).integers(0, 30, 47)
    expected = [order[i : i + batch_size] for i in range(0, 47, batch_size)]
    expected = [part for part in expected if len(part) == batch_size or not drop_last][start:]
    got = list(data.iterate("train", batch_size=batch_size, order=order, start=start, drop_last=drop_last))
    assert len(got) == len(expected)
    for (images, labels), part in zip(got, expected, strict=True):
        assert images.dtype == np.uint8 and labels.dtype == np.int32
        np.testing.assert_array_equal(images, np.broadcast_to(part[:, None, None, None], images.shape))
        np.testing.assert_array_equal(labels, part % 3)


def test_start_does_not_decode_what_it_leaves_out():
    read = []
    batches = iterate_batches(
        lambda index, image: read.append(index),
        np.zeros(40, np.int32),
        (8, 8),
        order=np.arange(40),
        batch_size=8,
        start=3,
    )
    list(batches)
    assert sorted(read) == list(range(24, 40))


def test_only_a_few_batches_are_decoded_ahead():
    read = []
    batches = iterate_batches(
        lambda index, image: read.append(index),
        np.zeros(4000, np.int32),
        (8, 8),
        order=np.arange(4000),
        batch_size=10,
        workers=2,
    )
    next(batches)
    time.sleep(0.1)
    assert len(read) <= 40
    batches.close()
    assert len(read) <= 40


def test_closing_ends_the_threads_at_once():
    read = []

    def slow(index, image):
        time.sleep(0.02)
        read.append(index)

    batches = iterate_batches(
        slow, np.zeros(800, np.int32), (8, 8), order=np.arange(800), batch_size=80, workers=2
    )
    next(batches)
    before = len(read)
    batches.close()
    assert len(read) <= before + 2  # what each of the two threads was at
    assert not reading_threads()


def test_an_interruption_leaves_no_threads():
    def interrupted():
        for _ in numbered(30).iterate("train", batch_size=2):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert not reading_threads()


@pytest.mark.parametrize("batch_size", [1, 4, 16])
def test_a_bad_image_raises_in_its_place(batch_size, class_folder):
    root = class_folder({"a": 10, "b": 10})
    (root / "b" / "003.png").write_bytes(b"no image")
    data = image_folder(root, image_size=16, validation_fraction=0.0, cache=False)
    place = list(data.files["train"]).index("b/003.png")
    got = 0
    with pytest.raises(BadImageError, match=r"b/003.png: is not an image that can be read") as raised:
        for _images, labels in data.iterate("train", batch_size=batch_size):
            got += len(labels)
    assert got == place // batch_size * batch_size
    assert raised.value.path == str(root / "b" / "003.png")
    assert not reading_threads()


def test_order_of_an_epoch_is_a_function_of_seed_and_epoch():
    orders = [epoch_order(100, seed, epoch).tolist() for seed in (0, 1) for epoch in (0, 1)]
    assert len({tuple(order) for order in orders}) == 4
    assert orders[1] == epoch_order(100, 0, 1).tolist()
    assert sorted(orders[0]) == list(range(100))


def test_images_and_class_balanced():
    data = numbered(30)
    np.testing.assert_array_equal(data.images("train", [5, 5, 2])[:, 0, 0, 0], [5, 5, 2])
    assert data.images("train", []).shape == (0, 8, 8, 3)
    labels = data.splits["train"].labels
    chosen = data.class_balanced("train", 10, seed=1)
    assert sorted(np.bincount(labels[chosen])) == [3, 3, 4] and len(set(chosen)) == 10
    np.testing.assert_array_equal(chosen, data.class_balanced("train", 10, seed=1))
    assert (chosen != data.class_balanced("train", 10, seed=2)).any()
    assert len(data.class_balanced("train", 1000)) == 30


def test_class_balanced_of_uneven_classes():
    images = np.zeros((30, 8, 8), np.uint8)
    data = from_arrays(images, np.repeat([0, 1, 2], [2, 8, 20]), "abc", validation_fraction=0.0)
    labels = data.splits["train"].labels
    assert np.bincount(labels[data.class_balanced("train", 12)]).tolist() == [2, 5, 5]


def test_fingerprint_sees_what_matters(class_folder):
    root = class_folder({"a": 6, "b": 6})

    def fingerprint(**arguments):
        return image_folder(root, **{"image_size": 16, "cache": False} | arguments).fingerprint()

    first = fingerprint()
    assert first == fingerprint() == fingerprint(batch_size=4)
    assert len({first, fingerprint(image_size=17), fingerprint(resize="crop"), fingerprint(seed=5)}) == 4
    (root / "a" / "000.png").write_bytes((root / "a" / "001.png").read_bytes())
    assert fingerprint() != first


def test_fingerprint_survives_a_move(class_folder, tmp_path):
    root = class_folder({"a": 4, "b": 4})
    before = image_folder(root, cache=False).fingerprint()
    assert image_folder(root.rename(tmp_path / "elsewhere"), cache=False).fingerprint() == before


def test_a_data_set_can_be_pickled(class_folder):
    data = image_folder(class_folder({"a": 4, "b": 4}), image_size=16, cache=True)
    expected = data.images("train", range(4))
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(data)).images("train", range(4)), expected)


@pytest.mark.parametrize(
    ("use", "message"),
    [
        (lambda data: data.iterate("test"), "`split` must be one of train. Received: 'test'"),
        (lambda data: data.iterate("train", order=[0, 99]), "indices from 0 to 8.*Received: 0 to 99"),
        (lambda data: data.iterate("train", order=[-1]), "Received: -1"),
        (lambda data: data.iterate("train", order=[True] * 8), r"Received: bool. .*np.flatnonzero\(mask"),
        (lambda data: data.iterate("train", order=[0.0, 1.5]), "whole numbers. Received: float64"),
        (lambda data: data.iterate("train", start=-1), "`start` must be a number of batches from 0"),
        (lambda data: data.iterate("train", batch_size=2.5), "`batch_size` must be a whole number"),
        (lambda data: data.iterate("train", batch_size=0), "`batch_size` must be a whole number from 1"),
        (lambda data: data.class_balanced("validation", 3), "`split` must be one of train"),
    ],
)
def test_bad_requests(use, message):
    with pytest.raises(DataError, match=message):
        use(numbered(9))


def test_samples_must_fit():
    with pytest.raises(DataError, match="must have one length. Received: 1, 2 and 1"):
        Samples(sources=["x"], labels=np.zeros(2), names=["x"])


def test_tf_data_gives_the_same_batches(class_folder):
    import tensorflow as tf

    data = image_folder(class_folder({"a": 9, "b": 8}), image_size=(16, 20), batch_size=4, cache=False)
    dataset = data.validation
    assert dataset.element_spec == (
        tf.TensorSpec((None, 16, 20, 3), tf.uint8, "images"),
        tf.TensorSpec((None,), tf.int32, "labels"),
    )
    assert int(data.train.cardinality()) == 4 and data.test is None
    got = list(data.dataset("train", order=[3, 1, 2], batch_size=2).as_numpy_iterator())
    expected = list(data.iterate("train", order=[3, 1, 2], batch_size=2))
    for one, other in zip(got, expected, strict=True):
        np.testing.assert_array_equal(one[0], other[0])
        np.testing.assert_array_equal(one[1], other[1])


def test_training_order_is_new_each_pass_and_repeatable():
    def passes(data):
        dataset = data.train
        return [np.concatenate([x[:, 0, 0, 0] for x, _ in dataset.as_numpy_iterator()]) for _ in range(2)]

    first, again = passes(numbered(20, seed=4)), passes(numbered(20, seed=4))
    np.testing.assert_array_equal(first[0], epoch_order(20, 4, 0))
    np.testing.assert_array_equal(first[1], epoch_order(20, 4, 1))
    np.testing.assert_array_equal(first, again)


def test_leaving_a_tf_data_set_early_leaves_no_threads():
    for _ in shapes(count=200, image_size=16).train.take(1):
        pass
    deadline = time.time() + 5
    while reading_threads() and time.time() < deadline:
        time.sleep(0.02)
    assert not reading_threads()


def test_tf_data_names_the_bad_file(class_folder):
    import tensorflow as tf

    root = class_folder({"a": 3, "b": 3})
    (root / "a" / "001.png").write_bytes(b"")
    data = image_folder(root, image_size=16, validation_fraction=0.0, cache=False)
    with pytest.raises(tf.errors.OpError, match=r"001.png: is empty \(0 bytes\)"):
        list(data.dataset("train"))


def test_numpy_needs_no_tensorflow(class_folder, tmp_path):
    root = class_folder({"a": 3, "b": 3})
    code = (
        "import sys, kerasvision as kv\n"
        f"data = kv.data.image_folder({str(root)!r}, image_size=16)\n"
        "assert sum(len(labels) for _, labels in data.iterate('train')) == 4\n"
        "kv.data.shapes(count=10).images('train', [0]); data.fingerprint()\n"
        "assert 'tensorflow' not in sys.modules and 'keras' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_one_preprocessing_for_all():
    data = shapes(count=10, image_size=32)
    assert data.preprocessing == Preprocessing(32) and data.image_size == (32, 32)
    assert Image.fromarray(data.images("train", [0])[0]).size == (32, 32)


MEMORY = """
import sys
from pathlib import Path
from kerasvision.data import image_folder

def resident(field):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field)) / 1024

before = resident("VmRSS")
data = image_folder(sys.argv[1], image_size=96, cache=False, on_bad_file=sys.argv[2])
for split in data.splits:
    for _ in data.iterate(split):
        pass
print(resident("VmHWM") - before)
"""


@pytest.mark.slow
@pytest.mark.parametrize("on_bad_file", ["raise", "skip"])
def test_memory_is_flat_in_the_number_of_images(on_bad_file, tmp_path, photo):
    Image.fromarray(photo(96, 128)).save(tmp_path / "one.jpg")
    grown = []
    for count in (400, 8000):
        for i in range(count):
            file = tmp_path / str(count) / "ab"[i % 2] / f"{i:05d}.jpg"
            file.parent.mkdir(parents=True, exist_ok=True)
            os.link(tmp_path / "one.jpg", file)
        command = [sys.executable, "-c", MEMORY, tmp_path / str(count), on_bad_file]
        grown.append(float(subprocess.run(command, capture_output=True, text=True, check=True).stdout))
    # 7,600 decoded images would be 210 MB; their paths, names and labels are about 3 MB.
    assert grown[1] - grown[0] < 8, grown
