"""Frames of videos are told from images that merely have numbers, and so are splits that cut through them."""

import numpy as np
import pytest
from PIL import Image

from kerasvision.data import check
from kerasvision.data.doctor.sequences import frame_of

NAMES = {
    "0001TP_006690.png": ("0001TP", 6690),
    "train/0001TP_006690.png": ("0001TP", 6690),
    "tour/test/f01290.jpg": ("tour/", 1290),
    "Seq05VD_f00000.jpg": ("Seq05VD", 0),
    "a/b/frame-12.jpeg": ("a/b/frame", 12),
    "aachen_000000_000019_leftImg8bit.png": None,
    "7.png": ("", 7),
    "cat.png": None,
    "img1234567890123456.png": ("img1", 234567890123456),
}


@pytest.mark.parametrize(("name", "wanted"), NAMES.items(), ids=NAMES)
def test_names_of_frames(name, wanted):
    assert frame_of(name) == wanted


def frame(scene: np.ndarray, time: int) -> Image.Image:
    """Return a window that moves over a scene, (64, 80, 3)."""
    rng = np.random.default_rng(time)
    window = scene[:, 3 * time : 3 * time + 80].astype(np.int16) + rng.integers(-8, 9, (64, 80, 3), np.int16)
    return Image.fromarray(np.clip(window, 0, 255).astype(np.uint8))


def scene(seed: int) -> np.ndarray:
    coarse = Image.fromarray(np.random.default_rng(seed).integers(20, 236, (6, 24, 3), np.uint8))
    return np.asarray(coarse.resize((320, 64), Image.Resampling.BICUBIC))


def put(root, split: str, name: str, image: Image.Image, number: int) -> None:
    labels = np.zeros((64, 80), np.uint8)
    labels[20 + number % 9 : 50, 10:60] = 1
    for part, one in (("images", image), ("masks", Image.fromarray(labels))):
        (root / part / split).mkdir(parents=True, exist_ok=True)
        one.save(root / part / split / f"{name}.png")


def found(root) -> dict:
    checkup = check(root, near_duplicates=False)
    kinds = {"sequence leak", "narrow split", "video frames"}
    return {problem.kind: problem for problem in checkup.problems if problem.kind in kinds}


def video(root, name: str, split_of, seed: int, count: int = 24) -> None:
    whole = scene(seed)
    for time in range(count):
        put(root, split_of(time), f"{name}_{30 * time:05d}", frame(whole, time), time)


def test_whole_videos_in_each_split(tmp_path):
    for number, split in enumerate(("train", "train", "val", "val")):
        video(tmp_path, f"v{number}", lambda time, split=split: split, number)
    assert found(tmp_path) == {}


def test_a_video_that_is_cut_once(tmp_path):
    video(tmp_path, "a", lambda time: "train" if time < 12 else "test", 1)
    video(tmp_path, "b", lambda time: "test", 2)
    problem = found(tmp_path)["sequence leak"]
    assert problem.severity == "warning" and "(images/a: 12 in train, 12 in test)" in problem.message
    assert problem.files == ("images/train/a_00330.png", "images/test/a_00360.png")


def test_a_video_that_is_cut_at_random(tmp_path):
    video(tmp_path, "a", lambda time: "val" if time % 4 == 2 else "train", 1)
    video(tmp_path, "b", lambda time: "val", 2)
    problem = found(tmp_path)["sequence leak"]
    assert problem.severity == "error" and "as neighbours of nearly every frame were" in problem.message
    assert len(problem.cases) == 1 and set(found(tmp_path)) == {"sequence leak"}


def test_a_held_out_split_of_one_video(tmp_path):
    video(tmp_path, "a", lambda time: "train", 1)
    video(tmp_path, "b", lambda time: "val", 2, count=10)
    problems = found(tmp_path)
    assert set(problems) == {"narrow split"}
    assert "All 10 images of the validation split are frames of one sequence (images/b)" in (
        problems["narrow split"].message
    )


def test_videos_that_are_not_split_yet(tmp_path):
    video(tmp_path, "a", lambda time: "", 1)
    problem = found(tmp_path)["video frames"]
    assert problem.severity == "warning" and "24 images look like frames of 1 video" in problem.message


def test_numbers_that_are_no_frames(tmp_path):
    for number in range(40):
        put(tmp_path, "val" if number % 4 else "train", f"{number:03d}", frame(scene(number), 0), number)
    assert found(tmp_path) == {}


def test_too_few_frames_to_tell(tmp_path):
    video(tmp_path, "a", lambda time: "val" if time % 2 else "train", 1, count=7)
    assert found(tmp_path) == {}
