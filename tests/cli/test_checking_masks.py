"""`kerasvision check` on photos with masks."""

import csv
import io
import json

import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def folder(tmp_path):
    """Twelve photos with masks of two classes."""
    rng = np.random.default_rng(0)
    labels = np.zeros((48, 48), np.uint8)
    labels[10:30, 10:40] = 1
    for part in ("images", "masks"):
        (tmp_path / "set" / part).mkdir(parents=True)
    for number in range(12):
        photo = np.kron(rng.integers(0, 256, (6, 6, 3)), np.ones((8, 8, 1))).astype(np.uint8)
        Image.fromarray(photo).save(tmp_path / f"set/images/{number}.png")
        Image.fromarray(labels).save(tmp_path / f"set/masks/{number}.png")
    return tmp_path / "set"


def test_good_masks(command, folder, tmp_path):
    code, out, _ = command("check", folder, "--strict", "--format", "json", "--page", tmp_path / "page.html")
    found = json.loads(out)
    assert code == 0 and found["ok"] and not found["problems"] and found["counted"] == "masks"
    assert found["counts"] == {"all": {"class 0": 12, "class 1": 12}}
    assert "Masks per class" in (tmp_path / "page.html").read_text(encoding="utf-8")


def test_broken_masks(command, folder):
    (folder / "masks/3.png").write_bytes(b"")
    (folder / "masks/4.png").unlink()
    code, out, _ = command("check", folder, "--strict", "--format", "csv")
    rows = {(row["kind"], row["file"]): row for row in csv.DictReader(io.StringIO(out))}
    assert code == 1 and set(rows) == {("no mask", "images/4.png"), ("unreadable mask", "masks/3.png")}
    assert "is empty" in rows["unreadable mask", "masks/3.png"]["note"]
    code, out, _ = command("check", folder)
    assert code == 0 and "1 image has no mask." in out and "not ready to train" in out


def test_no_clean_list_of_masks(command, folder, tmp_path):
    page = tmp_path / "page.html"
    code, out, err = command("check", folder, "--clean-list", tmp_path / "clean.csv", "--page", page)
    assert code == 1 and "`--clean-list` lists images with classes" in err.replace("\n", " ")
    assert "12 images, 2 classes: ready to train" in out and "Masks per class" in page.read_text("utf-8")
    assert not (tmp_path / "clean.csv").exists()
