"""What goes wrong in practice, and the one line that the user gets for it.

Each case makes something bad in a temporary folder and returns the command line. The line on standard error
must name the file or argument and say what to do; a traceback never appears.
"""

import errno
import json
import os
import shutil
import struct
import zlib

import pytest
from PIL import Image

from kerasvision.cli.main import run

CASES = {}


def case(code: int, *fragments: str, id: str):
    """Register a case: the exit code, and what the line must contain."""

    def register(function):
        CASES[id] = (function, code, fragments)
        return function

    return register


class Scene:
    """What a case works with: good things, and a folder for bad ones."""

    def __init__(self, folder, request):
        self.folder, self.request = folder, request

    def good(self, name):
        """Return a fixture: photos, trained, tflite, training."""
        return self.request.getfixturevalue(name)

    def photo(self, name: str, content: bytes) -> list:
        """Write a bad photo and return the command that reads it."""
        (self.folder / name).write_bytes(content)
        return ["predict", self.good("tflite"), self.folder / name]

    def train(self, data, *options, out="run") -> list:
        return ["train", "classifier", data, self.folder / out, *self.good("training"), *options]

    def photos(self, name="photos", **settings):
        return self.good("write_photos")(self.folder / name, **{"count": 4, **settings})


def jpeg(folder, size=(64, 48)) -> bytes:
    path = folder / "whole.jpg"
    Image.effect_noise(size, 50).convert("RGB").save(path)
    return path.read_bytes()


# -- photos


@case(1, "photo.jpg", "truncated", id="a truncated JPEG")
def _(scene):
    whole = jpeg(scene.folder)
    return scene.photo("photo.jpg", whole[: len(whole) // 2])


@case(1, "notes.jpg", "not an image", id="text named .jpg")
def _(scene):
    return scene.photo("notes.jpg", b"milk, eggs, bread\n")


@case(1, "page.jpg", "web page", id="a web page named .jpg")
def _(scene):
    return scene.photo("page.jpg", b"<!DOCTYPE html><html><body>404</body></html>")


@case(1, "empty.png", "empty (0 bytes)", id="zero bytes")
def _(scene):
    return scene.photo("empty.png", b"")


@case(1, "damaged.png", id="a PNG with a damaged byte")
def _(scene):
    Image.effect_noise((64, 48), 50).save(scene.folder / "whole.png")
    content = bytearray((scene.folder / "whole.png").read_bytes())
    content[len(content) // 2] ^= 0xFF
    return scene.photo("damaged.png", bytes(content))


@case(1, "iphone.jpg", "HEIC", id="HEIC named .jpg")
def _(scene):
    return scene.photo("iphone.jpg", b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic" + bytes(200))


@case(1, "bomb.png", "pixels", id="a PNG that says it has ten thousand million pixels")
def _(scene):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0))
    content = header + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    return scene.photo("bomb.png", b"\x89PNG\r\n\x1a\n" + content)


@case(1, "link.jpg", "is not there", id="a link to nowhere")
def _(scene):
    (scene.folder / "link.jpg").symlink_to(scene.folder / "gone.jpg")
    return ["predict", scene.good("tflite"), scene.folder / "link.jpg"]


@case(1, "pipe.jpg", "is a pipe or a device", id="a pipe named .jpg")
def _(scene):
    os.mkfifo(scene.folder / "pipe.jpg")
    return ["predict", scene.good("tflite"), scene.folder / "pipe.jpg"]


@case(1, "--on-bad-file", "ignore", id="another way with bad files, to predict")
def _(scene):
    return ["predict", scene.good("tflite"), scene.good("photos"), "--on-bad-file", "ignore"]


@case(1, "nowhere.jpg", "is not there", id="a photo that is not there")
def _(scene):
    return ["predict", scene.good("tflite"), scene.folder / "nowhere.jpg"]


@case(1, "x*.jpg", "No file matches", id="a pattern without a match")
def _(scene):
    return ["predict", scene.good("tflite"), f"{scene.folder}/x*.jpg"]


@case(1, "no images", id="a folder without images, to predict")
def _(scene):
    return ["predict", scene.good("tflite"), scene.folder]


@case(1, r"\x1b[31m", "No file matches", id="a name with control characters")
def _(scene):
    return ["predict", scene.good("tflite"), scene.folder / "\x1b[31mred.jpg"]


@case(1, "写真.jpg", "empty", id="a name in another writing system")
def _(scene):
    return scene.photo("写真.jpg", b"")


@case(1, "red/broken.jpg", "truncated", id="a bad photo among good ones, when training")
def _(scene):
    photos = scene.photos()
    (photos / "red" / "broken.jpg").write_bytes(jpeg(scene.folder)[:600])
    return scene.train(photos)


# -- folders and tables


@case(1, "nowhere", "is not there", id="a folder that is not there")
def _(scene):
    return ["check", scene.folder / "nowhere"]


@case(1, "photos.zip", "unpack", id="an archive instead of a folder")
def _(scene):
    (scene.folder / "photos.zip").write_bytes(b"PK\x03\x04")
    return ["check", scene.folder / "photos.zip"]


@case(1, "must be a folder of images, or a CSV", id="a photo instead of a folder")
def _(scene):
    (scene.folder / "a.jpg").write_bytes(b"")
    return scene.train(scene.folder / "a.jpg")


@case(1, "No images in", id="a folder without images")
def _(scene):
    return scene.train(scene.folder)


@case(1, "at least 2 classes", "red", id="one class")
def _(scene):
    return scene.train(scene.photos(classes=("red",)))


@case(1, "without an image", "purple", "--on-bad-file skip", id="an empty class")
def _(scene):
    photos = scene.photos()
    (photos / "purple").mkdir()
    return scene.train(photos)


@case(1, "have no class", "folder for each class", id="photos in one folder")
def _(scene):
    return scene.train(scene.photos() / "red")


@case(1, "beside the class folders", "stray.png", id="a photo beside the class folders")
def _(scene):
    photos = scene.photos()
    shutil.copy(photos / "red" / "0.png", photos / "stray.png")
    return scene.train(photos)


@case(1, "train lacks", "purple", id="a test class that is not trained")
def _(scene):
    scene.photos("photos/train")
    scene.photos("photos/test", classes=("red", "purple"))
    return scene.train(scene.folder / "photos")


@case(1, "same name", id="two classes with the same name")
def _(scene):
    return scene.train(scene.photos(classes=("caf\u00e9", "cafe\u0301", "red")))


@case(1, "line break", id="a class name with a line break")
def _(scene):
    return scene.train(scene.photos(classes=("red", "gr\neen")))


@case(1, "list.csv", "is not there", id="a CSV that is not there")
def _(scene):
    return scene.train(scene.folder / "list.csv")


@case(1, "list.csv", "label", id="a CSV without labels")
def _(scene):
    (scene.folder / "list.csv").write_text("path,class\na.png,red\n")
    return scene.train(scene.folder / "list.csv")


@case(1, "gone.png", id="a CSV that lists a photo that is not there")
def _(scene):
    photos = scene.photos()
    rows = [f"{p},{p.parent.name}" for p in sorted(photos.rglob("*.png"))]
    (scene.folder / "list.csv").write_text("\n".join(["path,label", *rows, "gone.png,red"]) + "\n")
    return scene.train(scene.folder / "list.csv")


@case(1, "listed twice", "Keep one line", "0.png", id="a CSV with two labels for one photo")
def _(scene):
    photos = scene.photos()
    (scene.folder / "list.csv").write_text(f"path,label\n{photos}/red/0.png,red\n{photos}/red/0.png,blue\n")
    return scene.train(scene.folder / "list.csv")


@case(1, "page", "photos", id="a page that would be written into the photos")
def _(scene):
    photos = scene.photos()
    return ["check", photos, "--page", photos / "page.html"]


# -- arguments of training


@case(1, "resnet5", "did you mean", "resnet50", id="a network that does not exist")
def _(scene):
    return scene.train(scene.good("photos"), "--model", "resnet5")


@case(1, "`--strategy`", "'freeze'", "frozen", id="an unknown strategy")
def _(scene):
    return scene.train(scene.good("photos"), "--strategy", "frozen")


@case(1, "flop", "did you mean 'flip'", id="an unknown augmentation")
def _(scene):
    return scene.train(scene.good("photos"), "--augment", "flop")


@case(1, "`--epochs`", "0", id="no epochs")
def _(scene):
    return scene.train(scene.good("photos"), "--epochs", "0")


@case(1, "`--learning-rate`", "nan", id="a learning rate that is not a number")
def _(scene):
    return scene.train(scene.good("photos"), "--learning-rate", "nan")


@case(1, "`--image-size`", "4", id="images of four pixels")
def _(scene):
    return scene.train(scene.good("photos"), "--image-size", "4")


@case(1, "`--batch-size`", id="batches of no images")
def _(scene):
    return scene.train(scene.good("photos"), "--batch-size", "0")


@case(1, "fraction", "1.5", id="a fraction above one")
def _(scene):
    return scene.train(scene.good("photos"), "--validation-fraction", "1.5")


@case(1, "no validation images", "--validation-fraction", id="nothing to judge with")
def _(scene):
    return scene.train(scene.good("photos"), "--validation-fraction", "0")


@case(1, "`--resize`", "squash", id="an unknown way to resize")
def _(scene):
    return scene.train(scene.good("photos"), "--resize", "squash")


@case(1, "`--class-weights`", "balanced", id="unknown class weights")
def _(scene):
    return scene.train(scene.good("photos"), "--class-weights", "balanced")


@case(1, "nowhere.weights.h5", id="a weights file that is not there")
def _(scene):
    return scene.train(scene.good("photos"), "--weights", scene.folder / "nowhere.weights.h5")


@case(1, "other.weights.h5", id="a weights file of another network")
def _(scene):
    from kerasvision.models import get_model

    file = scene.folder / "other.weights.h5"
    get_model("resnet_small", width=8, blocks=(1, 1)).save_weights(file)
    return scene.train(scene.good("photos"), "--weights", file)


@case(1, "the loss became", "lower `--learning-rate`", id="a loss that is not finite")
def _(scene):
    return scene.train(scene.good("photos"), "--learning-rate", "1e30")


# -- where to write


@case(1, "file", "Choose another folder", id="a file where the run folder should be")
def _(scene):
    (scene.folder / "file").write_text("")
    return scene.train(scene.good("photos"), out="file")


@case(1, "a part of this path is a file", id="a run folder below a file")
def _(scene):
    (scene.folder / "file").write_text("")
    return scene.train(scene.good("photos"), out="file/run")


@case(1, "too long", id="a run folder with a very long name")
def _(scene):
    return scene.train(scene.good("photos"), out="x" * 300)


@case(1, "holds files but no run", "thesis.txt", id="a run folder that holds something else")
def _(scene):
    (scene.folder / "home").mkdir()
    (scene.folder / "home" / "thesis.txt").write_text("")
    return scene.train(scene.good("photos"), out="home")


@case(
    1, "permission denied", "Choose a folder that you can write to", id="a folder that may not be written to"
)
def _(scene):
    def refuse(*arguments, **options):
        raise PermissionError(errno.EACCES, "Permission denied")

    scene.request.getfixturevalue("monkeypatch").setattr("kerasvision.files.tempfile.TemporaryFile", refuse)
    return scene.train(scene.good("photos"))


@case(1, "the disk is full", "Free some space", id="a full disk")
def _(scene):
    def fail(handle):
        raise OSError(errno.ENOSPC, "No space left on device")

    command = scene.train(scene.good("photos"))
    scene.request.getfixturevalue("monkeypatch").setattr(os, "fsync", fail)
    return command


@case(1, "`--epochs` 2 -> 3", "train in a new folder", id="a changed argument")
def _(scene):
    run_folder = scene.good("trained")
    return ["train", "classifier", scene.good("photos"), run_folder, *scene.good("training"), "--epochs", "3"]


@case(1, "`--image-size`", "(24, 24) -> (32, 32)", id="a changed size of images")
def _(scene):
    run_folder = scene.good("trained")
    return [
        "train",
        "classifier",
        scene.good("photos"),
        run_folder,
        *scene.good("training"),
        "--image-size",
        "32",
    ]


@case(1, "classes", "red", id="other photos")
def _(scene):
    return [
        "train",
        "classifier",
        scene.photos(classes=("red", "blue")),
        scene.good("trained"),
        *scene.good("training"),
    ]


# -- runs and exported files


@case(1, "is not a run", "run.json", id="a folder that is no run")
def _(scene):
    return ["evaluate", scene.folder, scene.good("photos")]


@case(1, "run.json", "not valid JSON", id="half a run.json")
def _(scene):
    (scene.folder / "run").mkdir()
    (scene.folder / "run" / "run.json").write_text('{"kind": "class')
    return ["predict", scene.folder / "run", scene.good("photos")]


@case(1, "is not finished", "goes on", id="a run that is not finished")
def _(scene):
    copy = shutil.copytree(scene.good("trained"), scene.folder / "run")
    record = json.loads((copy / "run.json").read_text())
    (copy / "run.json").write_text(json.dumps(record | {"status": "training"}))
    return ["predict", copy, scene.good("photos")]


@case(1, "lacks model.keras", id="a run without its model")
def _(scene):
    copy = shutil.copytree(scene.good("trained"), scene.folder / "run")
    (copy / "model.keras").unlink()
    return ["export", copy, scene.folder / "phone"]


@case(1, "model.keras", id="a damaged model")
def _(scene):
    copy = shutil.copytree(scene.good("trained"), scene.folder / "run")
    (copy / "model.keras").write_bytes(b"PK\x03\x04 cut off")
    return ["export", copy, scene.folder / "phone"]


@case(1, "does not know", "purple", id="a class that the run does not know")
def _(scene):
    return ["evaluate", scene.good("trained"), scene.photos(classes=("red", "purple"))]


@case(1, "`--formats`", "coreml", id="an unknown format")
def _(scene):
    return ["export", scene.good("trained"), scene.folder / "phone", "--format", "coreml"]


@case(1, "`--quantize`", "int4", id="an unknown quantisation")
def _(scene):
    return [
        "export",
        scene.good("trained"),
        scene.folder / "phone",
        "--format",
        "tflite",
        "--quantize",
        "int4",
    ]


@case(1, "labels.txt", id="somebody's file where an export should go")
def _(scene):
    (scene.folder / "phone").mkdir()
    (scene.folder / "phone" / "labels.txt").write_text("mine")
    return ["export", scene.good("trained"), scene.folder / "phone", "--format", "tflite"]


@case(1, "nowhere.tflite", "is not there", id="an exported file that is not there")
def _(scene):
    return ["benchmark", scene.folder / "nowhere.tflite"]


@case(1, "page.tflite", "TFLite", id="a web page named .tflite")
def _(scene):
    (scene.folder / "page.tflite").write_text("<!DOCTYPE html>" * 100)
    return ["predict", scene.folder / "page.tflite", scene.good("photos")]


@case(1, "half.tflite", id="half a .tflite file")
def _(scene):
    content = scene.good("tflite").read_bytes()
    (scene.folder / "half.tflite").write_bytes(content[: len(content) // 2])
    return ["predict", scene.folder / "half.tflite", scene.good("photos")]


@case(1, "model.pt", ".tflite, .onnx or .keras", id="a file of another kind")
def _(scene):
    (scene.folder / "model.pt").write_bytes(b"x")
    return ["predict", scene.folder / "model.pt", scene.good("photos")]


@case(1, "`--task`", "fly", id="an unknown task")
def _(scene):
    return ["models", "--task", "fly"]


# -- the command line itself


@case(2, "Missing argument 'OUT'", "train classifier --help", id="a missing argument")
def _(scene):
    return ["train", "classifier", "photos"]


@case(2, "--epoch", "--epochs", id="an option that does not exist")
def _(scene):
    return ["train", "classifier", "photos", "out", "--epoch", "3"]


@case(2, "'--epochs'", "integer", id="a word for a number")
def _(scene):
    return ["train", "classifier", "photos", "out", "--epochs", "ten"]


@case(2, "trian", "train", id="a command that does not exist")
def _(scene):
    return ["trian"]


@case(2, "'--format'", "xml", id="a form of output that does not exist")
def _(scene):
    return ["models", "--format", "xml"]


@pytest.mark.parametrize("name", CASES)
def test_bad_input(name, tmp_path, request, command):
    build, expected, fragments = CASES[name]
    arguments = build(Scene(tmp_path, request))
    code, out, err = command(*arguments)
    assert code == expected, err
    assert "Traceback" not in err and out == ""
    assert err.startswith("Error: ") and err.count("\n") == 1 and err.endswith("\n"), err
    assert not [f for f in fragments if f.lower() not in err.lower()], err


def test_there_are_enough_kinds():
    assert len(CASES) >= 25


def test_a_mistake_in_the_first_call_does_not_block_the_folder(command, photos, training, tmp_path):
    arguments = ("train", "classifier", photos, tmp_path / "run", *training)
    assert command(*arguments, "--model", "resnet_smal")[0] == 1
    assert command(*arguments, "--augment", "flop")[0] == 1
    assert command(*arguments, "--epochs", "1")[0] == 0


def test_names_and_links_that_are_no_problem(command, tmp_path, tflite, write_photos):
    """A loop of links, folders in class folders, long and foreign names, hidden files."""
    photos = write_photos(tmp_path / "Fotos größer 写真", classes=("ä" * 100, "красный"), count=3)
    first = sorted(photos.iterdir())[0]
    (first / "deeper").mkdir()
    shutil.copy(first / "0.png", first / "deeper" / ("n" * 240 + ".png"))
    (first / "loop").symlink_to(photos)
    (photos / ".DS_Store").write_bytes(b"\0")
    code, out, err = command("predict", tflite, photos, "--format", "json")
    assert code == 0 and not err
    assert len(json.loads(out)) == 7


def test_names_that_are_not_utf8(command, tmp_path, tflite, photos):
    name = os.fsdecode(b"caf\xe9.png")
    shutil.copy(photos / "red" / "0.png", tmp_path / name)
    code, out, err = command("predict", tflite, tmp_path)
    assert code == 0 and not err
    assert r"caf\udce9.png" in out


def test_debug_shows_the_traceback():
    with pytest.raises(ValueError, match="`--task`"):
        run(["models", "--task", "fly", "--debug"])
