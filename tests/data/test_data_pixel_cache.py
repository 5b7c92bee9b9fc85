"""The cache of decoded pixels: right after a kill, a full disk, two processes, and within its limit."""

import errno
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from kerasvision.data import PixelCache, Preprocessing, image_folder
from kerasvision.data import pixel_cache as module
from kerasvision.data.pixel_cache import cache_home, make_room, pixel_cache
from kerasvision.errors import DataError


def picture(seed: int, size: int = 8) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (size, size, 3), np.uint8)


def read(cache: PixelCache, slot: int) -> np.ndarray | None:
    image = np.zeros((*cache.image_size, 3), np.uint8)
    return image if cache.read_into(slot, image) else None


def test_what_was_written_is_read_also_by_another(tmp_path):
    cache = PixelCache(tmp_path / "c", 10, (8, 8))
    assert read(cache, 3) is None and cache.filled() == 0
    cache.write(3, picture(3))
    cache.write(9, picture(9))
    for one in (cache, PixelCache(tmp_path / "c", 10, (8, 8))):
        np.testing.assert_array_equal(read(one, 3), picture(3))
        np.testing.assert_array_equal(read(one, 9), picture(9))
        assert read(one, 4) is None and one.filled() == 2


def test_a_black_picture_is_not_an_empty_slot(tmp_path):
    cache = PixelCache(tmp_path / "c", 2, (8, 8))
    cache.write(0, np.zeros((8, 8, 3), np.uint8))
    assert read(cache, 0) is not None and read(cache, 1) is None


@pytest.mark.parametrize("file", ["pixels.bin", "filled.bin"])
def test_a_slot_that_does_not_fit_its_checksum_counts_as_empty(file, tmp_path):
    cache = PixelCache(tmp_path / "c", 2, (8, 8))
    cache.write(0, picture(0))
    with open(tmp_path / "c" / file, "r+b") as stream:
        byte = stream.read(1)
        stream.seek(0)
        stream.write(bytes([byte[0] ^ 1]))
    assert read(cache, 0) is None


def test_files_cut_off_count_as_empty(tmp_path):
    PixelCache(tmp_path / "c", 4, (8, 8)).write(3, picture(3))
    os.truncate(tmp_path / "c" / "pixels.bin", 50)
    cache = PixelCache(tmp_path / "c", 4, (8, 8))
    assert read(cache, 3) is None
    cache.write(3, picture(3))
    np.testing.assert_array_equal(read(cache, 3), picture(3))


WRITER = """
import sys, numpy as np
from kerasvision.data import PixelCache
cache = PixelCache(sys.argv[1], 400, (64, 64))
print("ready", flush=True)
for turn in range(1000):
    for slot in range(400):
        cache.write(slot, np.random.default_rng(slot).integers(0, 256, (64, 64, 3), np.uint8))
"""


def test_kill_at_any_moment_leaves_only_right_pixels(tmp_path):
    for turn in range(4):
        process = subprocess.Popen([sys.executable, "-c", WRITER, tmp_path / "c"], stdout=subprocess.PIPE)
        process.stdout.readline()
        time.sleep(0.003 + 0.02 * turn)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        cache = PixelCache(tmp_path / "c", 400, (64, 64))
        kept = {slot: image for slot in range(400) if (image := read(cache, slot)) is not None}
        for slot, image in kept.items():
            np.testing.assert_array_equal(image, picture(slot, 64))
    assert kept


def test_two_processes_at_once(tmp_path):
    code = WRITER.replace("range(1000)", "range(1)")
    processes = [subprocess.Popen([sys.executable, "-c", code, tmp_path / "c"]) for _ in range(2)]
    assert [process.wait(60) for process in processes] == [0, 0]
    cache = PixelCache(tmp_path / "c", 400, (64, 64))
    for slot in range(400):
        np.testing.assert_array_equal(read(cache, slot), picture(slot, 64))


def test_a_full_disk_is_said_once_and_reading_goes_on(class_folder, monkeypatch):
    said = []
    data = image_folder(class_folder({"a": 6, "b": 6}), image_size=16, validation_fraction=0, cache=True)
    expected = data.images("train", range(12))
    data.cache.close()
    for file in data.cache.folder.iterdir():
        file.unlink()
    written = []

    def full(file, data, offset):
        written.append(offset)
        if len(written) > 6:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(file, data, offset)

    real = module.write_at
    monkeypatch.setattr(module, "write_at", full)
    monkeypatch.setattr(module, "say", said.append)
    for _ in range(2):
        np.testing.assert_array_equal(data.images("train", range(12)), expected)
    assert len(said) == 1 and "the disk is full. Photos are decoded again" in said[0]


def test_a_folder_that_cannot_be_made_is_said_and_reading_goes_on(class_folder, tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr(module, "say", said.append)
    (tmp_path / "file").write_text("x")
    data = image_folder(class_folder({"a": 2, "b": 2}), image_size=16, cache=tmp_path / "file")
    assert len(next(data.iterate("train"))[1]) == 2
    assert len(said) == 1 and "is not used further" in said[0]


def test_it_is_used_again_and_not_beyond_a_change(class_folder, monkeypatch):
    root = class_folder({"a": 3, "b": 3})
    arguments = {"image_size": 16, "cache": True, "validation_fraction": 0.0}
    first = image_folder(root, **arguments)
    expected = first.images("train", range(6))

    def never(*_, **__):
        raise AssertionError("decoded again")

    with monkeypatch.context() as patch:
        patch.setattr(Preprocessing, "read", never)
        again = image_folder(root, **arguments | {"seed": 9})
        np.testing.assert_array_equal(again.images("train", range(6)), expected)
        other = image_folder(root, **arguments | {"validation_fraction": 0.4})
        assert other.images("validation", [0]).shape == (1, 16, 16, 3)
    os.utime(root / "a" / "000.png", ns=(1, 1))
    folders = {first.cache.folder, again.cache.folder, image_folder(root, **arguments).cache.folder}
    folders.add(image_folder(root, **arguments | {"resize": "pad"}).cache.folder)
    assert len(folders) == 3


@pytest.mark.parametrize(("image_size", "used"), [(16, True), (200, False)])
def test_auto_keeps_what_costs_more_to_decode_than_to_read(image_size, used, class_folder):
    data = image_folder(class_folder({"a": 2, "b": 2}), image_size=image_size, cache="auto")
    assert (data.cache is not None) == used
    assert image_folder(class_folder({"a": 2, "b": 2}), image_size=16, cache_limit=100).cache is None
    assert image_folder(class_folder({"a": 2, "b": 2}), image_size=16, cache=False).cache is None


def test_it_lies_in_the_cache_folder_and_nowhere_else(class_folder, own_cache, tmp_path):
    root = class_folder({"a": 2, "b": 2})
    for cache, home in ((True, own_cache), (tmp_path / "mine", tmp_path / "mine")):
        data = image_folder(root, image_size=16, cache=cache)
        list(data.iterate("train"))
        assert home in data.cache.folder.parents and (data.cache.folder / "pixels.bin").exists()
    assert sorted(path.name for path in root.iterdir()) == ["a", "b"]


def test_it_never_lies_among_the_photos(class_folder, monkeypatch):
    root = class_folder({"a": 2, "b": 2})
    with pytest.raises(DataError, match="would lie among the photos.*KERASVISION_CACHE"):
        image_folder(root, image_size=16, cache=root / "cache")
    monkeypatch.setenv("KERASVISION_CACHE", str(root))
    with pytest.raises(DataError, match="would lie among the photos"):
        image_folder(root, image_size=16)
    assert sorted(path.name for path in root.iterdir()) == ["a", "b"]


def test_systems_without_pread(tmp_path, monkeypatch):
    monkeypatch.delattr(os, "pread")
    monkeypatch.delattr(os, "pwrite")
    cache = PixelCache(tmp_path / "c", 50, (8, 8))
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda slot: cache.write(slot, picture(slot)), range(50)))
        for slot, image in enumerate(pool.map(lambda slot: read(cache, slot), range(50))):
            np.testing.assert_array_equal(image, picture(slot))


def test_a_disk_that_cannot_be_read_is_said_and_photos_are_decoded(class_folder, monkeypatch):
    said = []
    data = image_folder(class_folder({"a": 3, "b": 3}), image_size=16, validation_fraction=0, cache=True)
    expected = data.images("train", range(6))

    def fail(*_):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(module, "read_at", fail)
    monkeypatch.setattr(module, "say", said.append)
    np.testing.assert_array_equal(data.images("train", range(6)), expected)
    assert len(said) == 1 and "Input/output error" in said[0]


def test_the_least_recently_used_is_deleted(tmp_path):
    old, middle, new = ("0" * 31 + c for c in "abc")
    for number, name in enumerate([old, middle, new]):
        cache = PixelCache(tmp_path / name, 10, (64, 64))
        for slot in range(10):
            cache.write(slot, picture(slot, 64))
        os.utime(tmp_path / name / "last_used", (1000 + number, 1000 + number))
    size = 10 * 64 * 64 * 3
    make_room(tmp_path, size, 4 * size + 60_000)
    assert {path.name for path in tmp_path.iterdir()} == {old, middle, new}
    make_room(tmp_path, size, 2 * size + 60_000)
    assert {path.name for path in tmp_path.iterdir()} == {new}
    make_room(tmp_path, size, size, keep=tmp_path / new)
    assert {path.name for path in tmp_path.iterdir()} == {new}


def test_what_else_lies_there_is_not_deleted(tmp_path, class_folder):
    home = tmp_path / "mine" / "pixels"
    class_folder({"holiday": 2, "0" * 32: 2}, home)
    (home / "notes.txt").write_text("x")
    before = sorted(home.rglob("*"))
    make_room(home, 1, 1)
    assert sorted(home.rglob("*")) == before
    with pytest.raises(DataError, match="would lie among the photos"):
        image_folder(tmp_path / "mine" / "pixels", image_size=16, cache=tmp_path / "mine", cache_limit=4000)
    assert sorted(home.rglob("*")) == before


def test_deleting_does_not_disturb_a_reader(tmp_path):
    folder = tmp_path / ("c" * 32)
    cache = PixelCache(folder, 10, (64, 64))
    cache.write(1, picture(1, 64))
    make_room(tmp_path, 1, 1)
    assert not folder.exists()
    np.testing.assert_array_equal(read(cache, 1), picture(1, 64))


def test_where_caches_are_kept(monkeypatch):
    monkeypatch.delenv("KERASVISION_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/x/cache")
    assert cache_home() == Path("/x/cache/kerasvision")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_home().name == "kerasvision" and Path.home() in cache_home().parents
    monkeypatch.setenv("KERASVISION_CACHE", "~/mine")
    assert cache_home() == Path.home() / "mine"


def test_a_demanded_cache_that_does_not_fit():
    with pytest.raises(
        DataError, match=r"take 0.2 GB, more than `cache_limit` = 0.1 GB. Raise it, or pass cache=F"
    ):
        pixel_cache(
            True, facts=[], count=1000, preprocessing=Preprocessing(224), encoded_bytes=0, limit=10**8
        )
