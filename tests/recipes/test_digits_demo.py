"""The demo: its images, its picture in the terminal, and the whole of it."""

import os
import re
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from kerasvision.recipes import digits_demo
from kerasvision.recipes.predicting import Prediction


def test_all_scans_are_written_and_recognisable(tmp_path):
    folder = digits_demo.write_digits(tmp_path / "digits")
    digits = load_digits()
    files = sorted(folder.rglob("*.png"), key=lambda p: p.name)
    assert len(files) == len(digits.target) == 1797
    assert [int(p.parent.name) for p in files] == digits.target.tolist()
    for number in (0, 1000, 1796):
        image = Image.open(files[number])
        assert (image.mode, image.size) == ("L", (32, 32))
        small = np.asarray(image.resize((8, 8), Image.Resampling.BOX), float) / 255 * 16
        assert np.corrcoef(small.ravel(), digits.images[number].ravel())[0, 1] > 0.98
    assert folder.stat().st_mode & 0o055 == 0o055, "others cannot look into the folder"


def test_scans_that_are_there_are_left_alone(tmp_path):
    (tmp_path / "digits").mkdir()
    assert digits_demo.write_digits(tmp_path / "digits") == tmp_path / "digits"
    assert not list((tmp_path / "digits").iterdir())


def test_half_written_scans_do_not_stay(tmp_path, monkeypatch):
    saved, save = [], Image.Image.save

    def fail_at_tenth(image, path):
        saved.append(path)
        if len(saved) == 10:
            raise OSError(28, "No space left on device")
        save(image, path)

    monkeypatch.setattr(Image.Image, "save", fail_at_tenth)
    with pytest.raises(OSError, match="No space left"):
        digits_demo.write_digits(tmp_path / "digits")
    assert not list(tmp_path.iterdir())


def test_picture_in_colour():
    image = np.array([[[255, 0, 0]], [[0, 0, 255]], [[9, 9, 9]]], np.uint8)
    assert digits_demo.picture(image) == "\x1b[38;2;255;0;0;48;2;0;0;255m▀\x1b[0m"


def test_picture_without_colour():
    grey = np.repeat(np.array([[0, 128, 255], [0, 128, 255]], np.uint8)[..., None], 3, axis=-1)
    assert digits_demo.picture(grey, colour=False) == " +@"
    ramp = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 3, axis=-1).repeat(2, axis=0)
    assert sorted(set(digits_demo.picture(ramp, colour=False))) == sorted(digits_demo.SHADES)


def test_saved_picture(tmp_path):
    image = np.full((32, 32, 3), 200, np.uint8)
    prediction = Prediction("x.png", "7", 0.9, (("7", 0.9), ("1", 0.1)))
    digits_demo.save_picture(image, prediction, tmp_path / "p.png")
    page = np.asarray(Image.open(tmp_path / "p.png"))
    assert page.shape == (386, 320, 3)
    assert (page[:320] == 200).all()
    blue = (page == (0x4C, 0x78, 0xA8)).all(-1).sum(1)  # the bars are as long as the probabilities
    assert blue[332] == pytest.approx(9 * blue[354], abs=10) and blue[332] > 150


@pytest.mark.slow
def test_the_whole_demo_without_a_network(tmp_path):
    """From nothing to an answer of the exported file; called again it has nothing left to do."""
    environment = {k: v for k, v in os.environ.items() if k != "KERASVISION_QUIET"}
    nowhere = {
        name: "http://127.0.0.1:9" for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY")
    }
    command = [sys.executable, "-m", "kerasvision.cli.main", "demo", str(tmp_path / "demo")]
    for _ in range(2):
        done = subprocess.run(
            command, capture_output=True, text=True, env=environment | nowhere, timeout=400, cwd=tmp_path
        )
        assert done.returncode == 0, done.stderr
        assert "int8.tflite says" in done.stdout and "passed" in done.stdout
        accuracy = float(re.search(r"Accuracy ([\d.]+)%", done.stdout)[1])
        assert accuracy > 95
        report = re.search(r"Report: (.+)", done.stdout)[1]
        assert os.path.getsize(report) > 10_000
        assert (tmp_path / "demo" / "prediction.png").is_file()
    assert "is finished; nothing to do" in done.stderr
