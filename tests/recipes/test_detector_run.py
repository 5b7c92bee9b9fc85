"""What one does with a trained detector: find, draw, judge, load."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
from detector_training import scenes, train
from PIL import Image

from kerasvision.data import ImageBoxes, write_pascal_voc
from kerasvision.detection import find
from kerasvision.errors import (
    BadImageError,
    CertificateError,
    DataError,
    ExportError,
    KerasvisionError,
    RunError,
)
from kerasvision.recipes import (
    DetectorRun,
    ExportedDetector,
    Run,
    detection_judging,
    found_boxes,
    open_exported,
)
from kerasvision.report import DetectionScene, draw_boxes


@pytest.fixture(scope="module")
def data():
    return scenes(count=24)


@pytest.fixture(scope="module")
def run(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run") / "shapes"
    return train(data, folder, epochs=1, freeze_epochs=None, strategy="scratch")


@pytest.fixture(scope="module")
def photos(data, tmp_path_factory):
    """Photos larger than the input, of other proportions, one of them turned by its EXIF tag."""
    folder = tmp_path_factory.mktemp("photos")
    for index, source in enumerate(data.splits["test"].sources):
        photo = Image.fromarray(source).resize((200, 120), Image.Resampling.BILINEAR)
        photo.save(folder / f"{index}.png")
    turned = (
        Image.fromarray(data.splits["test"].sources[0])
        .resize((200, 120))
        .transpose(Image.Transpose.ROTATE_90)
    )
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise to be upright
    turned.save(folder / "turned.png", exif=exif)
    return folder


def test_boxes_are_in_pixels_of_the_upright_photo(run, photos):
    found = run.predict(photos, threshold=0.0)
    files = sorted(photos.glob("*.png"))
    assert [one.name for one in found] == [str(file) for file in files]
    images = np.stack([run.preprocessing.read(str(file)) for file in files])
    plain = find(run.detector, images, threshold=0.0, most=run.record["decided"]["most"])
    for one, wanted in zip(found, plain, strict=True):
        assert one.size == (120, 200)
        assert len(one) == len(wanted.scores) > 0
        np.testing.assert_allclose(one.scores, wanted.scores, atol=1e-5)
        np.testing.assert_allclose(one.boxes, wanted.boxes * ([200 / 64, 120 / 64] * 2), atol=2e-2)
        assert one.labels == tuple(run.labels[label] for label in wanted.labels)
        assert list(one.scores) == sorted(one.scores, reverse=True)
    turned, upright = found[-1], found[0]
    np.testing.assert_allclose(turned.boxes[:3], upright.boxes[:3], atol=3.0)


@pytest.mark.parametrize("kind", ["path", "array", "batch", "pil", "bytes"])
def test_predict_takes(run, photos, kind):
    file = sorted(photos.glob("*.png"))[0]
    array = np.asarray(Image.open(file))
    image = {
        "path": file,
        "array": array,
        "batch": array[None],
        "pil": Image.open(file),
        "bytes": file.read_bytes(),
    }[kind]
    (found,) = run.predict(image, threshold=0.0)
    (wanted,) = run.predict(file, threshold=0.0)
    np.testing.assert_allclose(found.boxes, wanted.boxes, atol=1e-3)
    assert str(found).startswith(found.name)
    assert sum(found.counts().values()) == len(found)


def test_many_images_answer_as_few_and_trace_one_graph(run, photos):
    files = sorted(photos.glob("*.png")) * 3
    many = run.predict(files, threshold=0.0)
    for one, file in zip(many, files, strict=True):
        (alone,) = run.predict(file, threshold=0.0)
        np.testing.assert_allclose(one.scores, alone.scores, atol=1e-5)
        np.testing.assert_allclose(one.boxes, alone.boxes, atol=1e-2)


def test_thresholds_by_class(run, photos):
    file = sorted(photos.glob("*.png"))[0]
    (everything,) = run.predict(file, threshold=0.0)
    cut = float(np.median(everything.scores))
    (some,) = run.predict(file, threshold={run.labels[0]: cut, run.labels[1]: 1.0})
    expected = [
        (label, score)
        for label, score in zip(everything.labels, everything.scores, strict=True)
        if label == run.labels[0] and score >= cut
    ]
    assert list(zip(some.labels, some.scores, strict=True)) == expected
    for wrong, message in ((2, "from 0 to 1"), ({"pear": 0.5}, "does not know: pear"), (True, "from 0 to 1")):
        with pytest.raises(KerasvisionError, match=message):
            run.predict(file, threshold=wrong)


def test_the_best_thresholds_are_those_of_the_judgement(run):
    best = run.judgement.thresholds
    wanted = [found_boxes.FALLBACK if value is None else value for value in best]
    np.testing.assert_array_equal(found_boxes.thresholds_of(run.judgement), wanted)


def test_bad_files_are_named_or_skipped(run, photos, tmp_path):
    shutil.copy(sorted(photos.glob("*.png"))[0], tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(b"this is text")
    with pytest.raises(BadImageError, match=r"b\.png"):
        run.predict(tmp_path)
    (found,) = run.predict(tmp_path, on_bad_file="skip")
    assert found.name.endswith("a.png")
    with pytest.raises(DataError, match="`on_bad_file`"):
        run.predict(tmp_path, on_bad_file="ignore")


def test_drawing_changes_the_pixels_of_the_boxes_only(run, photos):
    file = sorted(photos.glob("*.png"))[0]
    before = np.asarray(Image.open(file))
    drawn = np.asarray(run.draw(file, threshold=0.0))
    assert drawn.shape == before.shape == (120, 200, 3)
    assert (drawn != before).any()
    one = draw_boxes(Image.fromarray(before), np.array([[20, 30, 60, 80]]), [0], [""])
    changed = (np.asarray(one) != before).any(-1)
    assert changed[30, 40] and changed[79, 40] and changed[50, 20] and changed[50, 59]
    assert not changed[33:77, 23:57].any() and not changed[:29].any() and not changed[:, 61:].any()
    with pytest.raises(DataError, match="`draw` takes one image. Received: "):
        run.draw(photos)


def test_draw_takes_what_can_be_gone_through_once(run, photos):
    file = sorted(photos.glob("*.png"))[0]
    assert run.draw(one for one in [file]).size == (200, 120)


def test_draw_all_writes_a_picture_for_each_image(run, photos, tmp_path):
    (tmp_path / "x").mkdir()
    (tmp_path / "y").mkdir()
    for name in ("x", "y"):
        shutil.copy(sorted(photos.glob("*.png"))[0], tmp_path / name / "same.png")
    found = run.draw_all([tmp_path / "x", tmp_path / "y"], tmp_path / "out")
    assert len(found) == 2
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["same-2.jpg", "same.jpg"]
    assert Image.open(tmp_path / "out" / "same.jpg").size == (200, 120)


def test_evaluate_gives_what_training_measured(run, data):
    judged = run.evaluate(data)
    assert judged.ap50 == pytest.approx(run.metrics["coco"]["ap50"], abs=1e-6)
    assert judged.count == run.metrics["count"]


def test_evaluate_reads_folders_and_goes_by_the_names_of_classes(run, data, tmp_path):
    """The test split as Pascal VOC, where classes are in another order."""
    names = tuple(reversed(data.class_names))
    part = data.splits["test"]
    boxes = [replace(one, labels=1 - one.labels) for one in part.boxes]
    turned = replace(data, class_names=names, splits={"test": replace(part, boxes=boxes)})
    write_pascal_voc(turned, tmp_path / "voc")
    wanted = run.evaluate(data, "test")
    for other in (turned, tmp_path / "voc"):
        judged = run.evaluate(other)
        assert judged.class_names == run.labels
        assert judged.ap50 == pytest.approx(wanted.ap50, abs=5e-3)
    with pytest.raises(DataError, match="`split` must be one of test"):
        run.evaluate(turned, "train")
    unknown = replace(turned, class_names=("pear", "plum"))
    with pytest.raises(DataError, match="does not know: pear"):
        run.evaluate(unknown)


@pytest.mark.parametrize("resize", ["pad", "crop"])
def test_perfect_detections_are_perfect_whatever_the_resizing(data, resize):
    """Found boxes come back to pixels of the photo to meet the truth there."""
    from kerasvision.data import Preprocessing
    from kerasvision.metrics import Detections
    from kerasvision.recipes.detection_training import seen_boxes

    part = data.splits["test"]
    sources = [np.asarray(Image.fromarray(s).resize((128, 64))) for s in part.sources]
    boxes = [ImageBoxes((64, 128), one.boxes * [2, 1, 2, 1], one.labels) for one in part.boxes]
    wide = replace(
        data,
        preprocessing=Preprocessing(64, resize),
        splits={"test": replace(part, sources=sources, boxes=boxes)},
    )
    seen = seen_boxes(wide, "test")
    found = [
        Detections(wide.preprocessing.unplace(one.boxes, (64, 128)), one.labels, np.ones(len(one)))
        for one in seen
    ]
    judged = detection_judging.judge_splits(wide, {"test": found})["test"]
    assert judged.ap == pytest.approx(1.0)
    assert judged.boxes == sum(map(len, seen))


def test_a_run_of_a_detector_is_opened_as_such(run, tmp_path):
    opened = Run.load(run.folder)
    assert isinstance(opened, DetectorRun)
    with pytest.raises(RunError, match="is not that of a classifier's run"):
        Run(run.folder)
    with pytest.raises(RunError, match="Give the folder that was `out` in `train_detector`"):
        DetectorRun.load(tmp_path)
    shutil.copytree(run.folder, tmp_path / "bad")
    (tmp_path / "bad" / "model.keras").write_bytes(b"half a file")
    with pytest.raises(RunError, match="model.keras cannot be read"):
        _ = DetectorRun.load(tmp_path / "bad").detector


def test_it_shows_itself(run):
    assert repr(run).startswith(f"DetectorRun({str(run.folder)!r}): ssd300 on small, 2 classes, AP50")
    page = run._repr_html_()
    assert "Worst images" in page
    assert "<script" not in page and " id=" not in page


def test_scenes_say_what_is_missed_and_what_is_wrong(data, tmp_path):
    from kerasvision.metrics import Detections, judge_detections

    truth = data.splits["test"].boxes
    most = max(range(len(truth)), key=lambda i: len(truth[i]))
    found = [Detections(one.boxes, one.labels, np.full(len(one), 0.9)) for one in truth]
    boxes = np.concatenate([truth[most].boxes[1:], [[0.0, 0, 3, 3]]])  # one is missed, one is nowhere
    labels = np.append(truth[most].labels[1:], 0)
    found[most] = Detections(boxes, labels, np.full(len(labels), 0.8))
    judgement = judge_detections(truth, found, data.class_names)
    everything = replace(
        judgement,
        per_class=tuple(replace(s, best=replace(s.best, threshold=0.5)) for s in judgement.per_class),
    )
    (scene,) = detection_judging.worst_scenes(data, "test", found, everything)
    assert scene.name == data.splits["test"].names[most]
    assert scene.missed.tolist() == [True] + [False] * (len(truth[most]) - 1)
    assert scene.wrong.tolist() == [False] * (len(truth[most]) - 1) + [True]
    scale = scene.image.shape[1] / truth[most].size[1]
    np.testing.assert_allclose(scene.truth, truth[most].boxes * scale)
    for scenes_ in ([scene, scene], []):
        detection_judging.write_scenes(tmp_path / "scenes.npz", scenes_)
        back = detection_judging.read_scenes(tmp_path / "scenes.npz")
        assert len(back) == len(scenes_)
        for one, other in zip(back, scenes_, strict=True):
            for field in DetectionScene.__dataclass_fields__:
                np.testing.assert_array_equal(getattr(one, field), getattr(other, field))


def test_export_puts_certificates_into_the_report(run, photos, tmp_path):
    bundle = run.export(tmp_path / "phone", formats=("tflite",))
    (file,) = bundle.files
    assert file.certificate.passed
    assert file.certificate.count == len(run.samples.images)
    assert file.path.name in (run.folder / "report.html").read_text()
    assert (run.folder / "certificates" / f"{file.path.name}.json").is_file()
    with pytest.raises(CertificateError):
        run.export(tmp_path / "phone", formats=("tflite",), quantize="dynamic", tolerance={"same": 1.0})
    assert "failed" in (run.folder / "report.html").read_text().lower()


@pytest.mark.parametrize("name", ["tflite", "saved_model", pytest.param("onnx", marks=pytest.mark.slow)])
def test_an_exported_file_finds_and_judges_as_the_run_does(run, data, photos, tmp_path, name):
    (file,) = run.export(tmp_path / "phone", formats=(name,)).files
    opened = open_exported(file.path)
    assert isinstance(opened, ExportedDetector)
    assert opened.labels == run.labels and opened.preprocessing == run.preprocessing
    wanted = run.predict(photos, threshold=0.06)
    for one, other in zip(opened.predict(photos, threshold=0.06), wanted, strict=True):
        assert one.name == other.name and one.size == other.size
        assert one.labels == other.labels
        np.testing.assert_allclose(one.boxes, other.boxes, atol=0.2)
    file_name = sorted(photos.glob("*.png"))[0]
    assert opened.draw(file_name, threshold=0.06).size == (200, 120)
    assert opened.evaluate(data).ap50 == pytest.approx(run.evaluate(data).ap50, abs=0.02)
    shown = run.export_source().thresholds
    assert opened.runner.thresholds == shown and tuple(shown) == run.labels
    wanted = run.predict(photos, threshold=shown)
    assert [one.labels for one in opened.predict(photos)] == [one.labels for one in wanted]
    with pytest.raises(DataError, match="`threshold` must be a number from 0 to 1"):
        opened.predict(photos, threshold=3)


def test_files_keep_the_boxes_that_a_run_shows(run):
    source = run.export_source()
    assert source.selection.threshold < min(source.thresholds.values())
    with pytest.raises(ExportError, match="`thresholds` must have one number for each"):
        replace(source, thresholds={"nobody": 0.5})


def test_export_source_can_take_other_images(run):
    own, other = run.export_source(), run.export_source(scenes(count=30, seed=9))
    assert own.labels == other.labels == run.labels
    assert len(own.truth) == len(own.images)
    assert not np.array_equal(own.images[:2], other.images[:2])
