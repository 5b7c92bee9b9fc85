"""`demo`: the whole way on real images that come with a dependency; no network, data or weights needed."""

import os
import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np

from kerasvision.files import make_folder, write_atomically
from kerasvision.progress import say
from kerasvision.recipes.predicting import Prediction
from kerasvision.recipes.run import Run

SIDE = 32  # pixels of the images written; the scans have 8
SHADES = " .:-=+*#%@"
NEXT = """Next, with your own photos in a folder for each class:
  kerasvision check photos/
  kerasvision train classifier photos/ runs/first
  kerasvision predict runs/first new.jpg"""


def demo(out: str | os.PathLike = "demo_run") -> Run:
    """Train, judge, export and certify a small network on 1,797 scans of handwritten digits.

    The scans (`load_digits` of scikit-learn, from the UCI repository) are written out as a folder of PNG
    images, and from there on treated like anybody's photos: checked, trained on from random weights,
    reported on, exported as an int8 TFLite file with a certificate; that file then reads a held-out image,
    which is printed and saved. Called again, it goes on where it was.

    Args:
        out: folder for the images (`digits/`), the run (`run/`), the exported file (`phone/`) and the
            image that was read (`prediction.png`).

    Returns:
        The finished run.

    Raises:
        KerasvisionError: `out` cannot be written to.
        RunError: `out` holds another run.
    """
    from kerasvision.data import check, image_folder
    from kerasvision.recipes.exported import open_exported
    from kerasvision.recipes.transfer_learning import train_classifier

    out = make_folder(out)
    photos = write_digits(out / "digits")
    say(f"1. Check the folder {photos}: real scans, one folder for each class")
    say(str(check(photos)))
    say("2. Train a small residual network from random weights")
    data = image_folder(photos, image_size=SIDE, validation_fraction=0.2, seed=0)
    run = train_classifier(
        data,
        out / "run",
        model="resnet_small",
        weights=None,
        strategy="scratch",
        epochs=8,
        augment=None,  # a mirrored 2 is no 2, and 1,437 scans are enough without
        label_smoothing=0.0,
    )
    say("3. Export for a phone: int8 TFLite, compared with the trained network on held-out images")
    exported = run.export(out / "phone", formats=("tflite",), quantize="int8").files[0]
    say("4. Read a held-out image with the exported file")
    held_out = data.splits["validation"]
    prediction = open_exported(exported.path).predict([held_out.sources[0]], top=3)[0]
    image = data.images("validation", [0])[0]
    truth = data.class_names[held_out.labels[0]]
    save_picture(image, prediction, out / "prediction.png")
    _print_result(run, exported, image, prediction, truth)
    return run


def write_digits(folder: Path) -> Path:
    """Write scikit-learn's digits as `folder/<digit>/scan_0000.png`, unless they are there.

    Args:
        folder: it appears only when all its files are written.

    Returns:
        The folder.
    """
    if folder.is_dir():
        return folder
    from PIL import Image
    from sklearn.datasets import load_digits

    digits = load_digits()
    unfinished = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
    try:
        for digit in range(10):
            (unfinished / str(digit)).mkdir()
        for number, (scan, digit) in enumerate(zip(digits.images, digits.target, strict=True)):
            grey = Image.fromarray((scan * (255 / 16)).round().astype(np.uint8))
            grey = grey.resize((SIDE, SIDE), Image.Resampling.BICUBIC)
            grey.save(unfinished / str(digit) / f"scan_{number:04}.png")
        unfinished.chmod(0o755)  # of a temporary folder only its owner may see the inside
        os.replace(unfinished, folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return folder


def picture(image: np.ndarray, *, colour: bool = True) -> str:
    """Return an image as text, two rows of pixels a line.

    Args:
        image: (h, w, 3) uint8; an odd last row is left out.
        colour: half blocks in 24-bit colour; otherwise characters of ten shades.
    """
    rows = len(image) // 2 * 2
    upper, lower = image[0:rows:2].astype(int), image[1:rows:2].astype(int)
    if not colour:
        shades = (upper.mean(-1) + lower.mean(-1)) / 2 * len(SHADES) / 256
        return "\n".join("".join(SHADES[int(shade)] for shade in line) for line in shades)
    block = "\x1b[38;2;{};{};{};48;2;{};{};{}m▀"
    lines = (
        "".join(block.format(*top, *bottom) for top, bottom in zip(above, below, strict=True))
        for above, below in zip(upper, lower, strict=True)
    )
    return "\n".join(f"{line}\x1b[0m" for line in lines)


def save_picture(image: np.ndarray, prediction: Prediction, path: Path) -> None:
    """Write a PNG of an image, enlarged, with the answer below it."""
    from PIL import Image, ImageDraw, ImageFont

    width, height, line = 320, 320, 22
    page = Image.new("RGB", (width, height + line * (len(prediction.top) + 1)), "white")
    page.paste(Image.fromarray(image).resize((width, height), Image.Resampling.NEAREST), (0, 0))
    draw, font = ImageDraw.Draw(page), ImageFont.load_default(16)
    for i, (label, probability) in enumerate(prediction.top):
        top = height + line // 2 + line * i
        draw.rectangle((60, top, 60 + 180 * probability, top + line - 6), fill="#4c78a8")
        draw.text((12, top - 2), label, "black", font)
        draw.text((250, top - 2), f"{probability:.1%}", "black", font)
    with write_atomically(path) as file:
        page.save(file, format="PNG")


def _print_result(run: Run, exported, image: np.ndarray, prediction: Prediction, truth: str) -> None:
    low, high = run.judgement.accuracy_interval
    print(picture(image, colour=sys.stdout.isatty() and "NO_COLOR" not in os.environ))
    print(f"{exported.path.name} says {prediction.label} ({prediction.probability:.1%}); it is a {truth}.")
    print(f"Accuracy {run.judgement.accuracy:.1%} ({low:.1%} to {high:.1%}) on {run.judgement.count} images.")
    print(f"Certificate: {exported.certificate}")
    print(f"Report: {(run.folder / 'report.html').resolve()}")
    print(f"\n{NEXT}")
