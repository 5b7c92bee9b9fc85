"""What one does with a trained segmenter: find, draw, save, judge, load."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from segmenter_training import scenes, train

from kerasvision.data import LabelMaps, Preprocessing, Samples, VisionData, masks
from kerasvision.errors import BadImageError, DataError, KerasvisionError, RunError
from kerasvision.metrics import SegmentationTally
from kerasvision.recipes import FoundLabels, Run, SegmenterRun, segmentation_judging
from kerasvision.recipes.label_network import LabelNetwork
from kerasvision.recipes.viewing import Viewing
from kerasvision.report import draw_labels
from kerasvision.report.mask_pictures import class_colours, error_map, smaller_labels


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
    upright = Image.fromarray(data.splits["test"].sources[0]).resize((200, 120), Image.Resampling.BILINEAR)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise to be upright
    upright.transpose(Image.Transpose.ROTATE_90).save(folder / "turned.png", exif=exif)
    return folder


def logits_of(run, image):
    return np.asarray(run.model(image[None].astype(np.float32), training=False))[0]


def enlarged(scores, size):
    """Return (h, w, classes) interpolated, and where the highest is sure."""
    import tensorflow as tf

    scores = tf.image.resize(scores, size).numpy()
    ordered = np.sort(scores, axis=-1)
    return scores.argmax(-1), ordered[..., -1] - ordered[..., -2] > 1e-3


def test_labels_are_in_pixels_of_the_upright_photo(run, photos):
    found = run.predict(photos)
    files = sorted(photos.glob("*.png"))
    assert [one.name for one in found] == [str(file) for file in files]
    for one, file in zip(found, files, strict=True):
        assert one.size == (120, 200) and one.labels.dtype == np.uint8
        wanted, sure = enlarged(logits_of(run, run.preprocessing.read(str(file))), (120, 200))
        np.testing.assert_array_equal(one.labels[sure], wanted[sure])
    assert (found[-1].labels == found[0].labels).mean() > 0.999


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
    (found,) = run.predict(image)
    (wanted,) = run.predict(file)
    np.testing.assert_array_equal(found.labels, wanted.labels)
    assert str(found).startswith(found.name)


def test_flip_averages_the_mirrored_photo(run, photos):
    file = str(sorted(photos.glob("*.png"))[0])
    (found,) = run.predict(file, flip=True)
    image = run.preprocessing.read(file)
    powers = [np.exp(logits_of(run, one)) for one in (image, image[:, ::-1])]
    first, second = (one / one.sum(-1, keepdims=True) for one in powers)
    wanted, sure = enlarged((first + second[:, ::-1]) / 2, (120, 200))
    np.testing.assert_array_equal(found.labels[sure], wanted[sure])
    mirrored = np.ascontiguousarray(np.asarray(Image.open(file))[:, ::-1])
    (other,) = run.predict(mirrored, flip=True)
    assert (other.labels[:, ::-1] == found.labels).mean() > 0.99


def test_scales_build_the_network_at_other_sizes_with_its_weights(run, photos):
    file = str(sorted(photos.glob("*.png"))[0])
    network = run.network.at(1.5)
    assert network.preprocessing.image_size == (96, 96) and run.network.at(1.1) is run.network
    (both,) = run.predict(file, scales=(1.0, 1.5))
    total = 0
    for one in (run.network, network):
        (scores,) = one.scores(one.preprocessing.read(file)[None], probable=True)
        np.testing.assert_allclose(scores.sum(0), 1.0, rtol=1e-5)
        import tensorflow as tf

        total = total + tf.image.resize(scores.transpose(1, 2, 0), (120, 200)).numpy()
    ordered = np.sort(total, axis=-1)
    sure = ordered[..., -1] - ordered[..., -2] > 1e-3
    np.testing.assert_array_equal(both.labels[sure], total.argmax(-1)[sure])


def test_sliding_sees_photos_in_their_own_size(run, data, photos):
    source = data.splits["test"].sources[0]
    (whole,) = run.predict(source)
    (sliding,) = run.predict(source, mode="sliding")
    np.testing.assert_array_equal(sliding.labels, whole.labels)  # one window, which is the photo
    file = sorted(photos.glob("*.png"))[0]
    (large,) = run.predict(file, mode="sliding", overlap=0.25, flip=True, scales=(0.5, 1.0))
    assert large.size == (120, 200)
    (once,) = run.predict(file, mode="sliding", overlap=0.0)
    photo = np.asarray(Image.open(file))
    alone = logits_of(run, photo[:64, :64]).argmax(-1)
    assert (once.labels[:56, :45] == alone[:56, :45]).mean() > 0.999  # where no other window is


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mode": "tiles"}, '`mode` must be "whole" or "sliding"'),
        ({"overlap": 1.0}, "`overlap` must be a number from 0 to 0.9"),
        ({"flip": 1}, "`flip` must be True or False"),
        ({"scales": ()}, "`scales` must be factors"),
        ({"scales": 2.0}, "`scales` must be factors"),
        ({"scales": (0.0, 1.0)}, "`scales` must be factors"),
    ],
)
def test_predict_refuses(run, photos, options, message):
    with pytest.raises(KerasvisionError, match=message):
        run.predict(photos, **options)


@pytest.mark.parametrize("options", [{}, {"mode": "sliding"}])
def test_bad_files_are_named_or_skipped(run, photos, tmp_path, options):
    good = sorted(photos.glob("*.png"))[0]
    shutil.copy(good, tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(b"this is text")
    (tmp_path / "c.png").write_bytes(good.read_bytes()[:-2000])  # its header is whole
    with pytest.raises(BadImageError, match=r"[bc]\.png"):
        run.predict(tmp_path, **options)
    (found,) = run.predict(tmp_path, on_bad_file="skip", **options)
    assert found.name.endswith("a.png")
    with pytest.raises(DataError, match="`on_bad_file`"):
        run.predict(tmp_path, on_bad_file="ignore", **options)


def test_found_labels_count_and_say_shares():
    labels = np.array([[0, 0, 0, 2], [2, 255, 0, 255]], np.uint8)
    found = FoundLabels("a.jpg", labels, ("road", "car", "sky"))
    assert found.pixels() == {"road": 4, "sky": 2}
    assert found.shares() == {"road": 4 / 6, "sky": 2 / 6}
    assert str(found) == "a.jpg: road 66.7%, sky 33.3%"
    assert found.rows() == [
        {"image": "a.jpg", "label": "road", "share": 0.666667, "pixels": 4},
        {"image": "a.jpg", "label": "sky", "share": 0.333333, "pixels": 2},
    ]
    nothing = FoundLabels("b.jpg", np.full((2, 2), 255, np.uint8), ("road",))
    assert str(nothing) == "b.jpg: nothing" and nothing.rows() == []
    page = found._repr_html_()
    assert "road" in page and "<script" not in page and ">car<" not in page


def test_a_saved_label_map_is_read_back_with_its_colours(tmp_path, rng):
    labels = rng.integers(0, 3, (20, 30)).astype(np.uint8)
    labels[:2] = 255
    found = FoundLabels("a.jpg", labels, ("background", "car", "sky"))
    path = found.save(tmp_path / "deep" / "a.png")
    with Image.open(path) as image:
        assert image.mode == "P"
        np.testing.assert_array_equal(np.asarray(image), labels)
        colours = np.asarray(image.convert("RGB"))
    np.testing.assert_array_equal(
        colours[labels == 1], class_colours(found.class_names)[[1]].repeat((labels == 1).sum(), 0)
    )
    assert (colours[labels == 0] == 0).all() and (colours[labels == 255] == 128).all()
    with pytest.raises(KerasvisionError, match="must end in .png"):
        found.save(tmp_path / "a.jpg")


def test_overlays_colour_what_is_no_background(rng):
    photo = Image.fromarray(rng.integers(0, 255, (60, 80, 3)).astype(np.uint8))
    labels = np.zeros((60, 80), np.uint8)
    labels[20:40, 20:60] = 1
    labels[50:] = 255
    found = FoundLabels("a.jpg", labels, ("background", "car"))
    before, after = (np.asarray(one).astype(int) for one in (photo, found.overlay(photo, names=False)))
    np.testing.assert_array_equal(after[labels == 0], before[labels == 0])
    colour = class_colours(found.class_names)[1].astype(int)
    np.testing.assert_array_equal(after[20, 20:60], np.broadcast_to(colour, (40, 3)))  # the outline
    inside = (before[30, 40] * 0.45 + colour * 0.55).astype(int)
    np.testing.assert_allclose(after[30, 40], inside, atol=1)
    assert (after[50:] != before[50:]).any() and (after[50:] == before[50:]).any()  # hatched
    named = np.asarray(draw_labels(photo, labels, found.class_names))
    assert (named[25:35, 30:50] != after[25:35, 30:50]).any()
    with pytest.raises(KerasvisionError, match=r"`image` must be the photo.*\(60, 80\).*\(30, 40\)"):
        found.overlay(np.zeros((30, 40, 3), np.uint8))


def test_error_maps_show_what_is_wrong_and_not_void(rng):
    photo = Image.fromarray(rng.integers(0, 255, (30, 40, 3)).astype(np.uint8))
    truth = np.zeros((30, 40), np.uint8)
    found = truth.copy()
    found[10:15] = 1
    truth[:, :5] = 255
    shown = np.asarray(error_map(photo, truth, found))
    wrong = (shown == (255, 111, 60)).all(-1)
    np.testing.assert_array_equal(wrong, (truth != found) & (truth != 255))


def test_colours_of_many_classes_differ():
    colours = class_colours([f"c{i}" for i in range(24)])
    assert len({tuple(colour) for colour in colours.tolist()}) == 24


def test_drawing_and_saving_many(run, photos, tmp_path):
    (tmp_path / "x").mkdir()
    (tmp_path / "y").mkdir()
    for name in ("x", "y"):
        shutil.copy(sorted(photos.glob("*.png"))[0], tmp_path / name / "same.png")
    found = run.draw_all([tmp_path / "x", tmp_path / "y"], tmp_path / "out", save=tmp_path / "maps")
    assert len(found) == 2
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["same-2.jpg", "same.jpg"]
    assert sorted(path.name for path in (tmp_path / "maps").iterdir()) == ["same-2.png", "same.png"]
    assert Image.open(tmp_path / "out" / "same.jpg").size == (200, 120)
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "maps" / "same.png")), found[0].labels)
    assert run.draw(tmp_path / "x" / "same.png", flip=True).size == (200, 120)
    with pytest.raises(DataError, match="`draw` takes one image. Received: 2"):
        run.draw([tmp_path / "x", tmp_path / "y"])


def test_evaluate_gives_what_training_measured(run, data):
    judged = run.evaluate(data)
    assert judged.to_dict() == run.judgement.to_dict()
    with pytest.raises(DataError, match="`data` must be a VisionData with masks"):
        run.evaluate(3)


@pytest.fixture(scope="module")
def large():
    """Photos of other sizes than the network's, with label maps in their pixels, some of it void."""
    rng = np.random.default_rng(3)
    sizes = ((100, 160), (160, 100), (64, 64), (50, 300))
    sources = [rng.integers(0, 255, (*size, 3)).astype(np.uint8) for size in sizes]
    maps = []
    for size in sizes:
        blocks = rng.integers(0, 4, (8, 8)).astype(np.uint8)
        maps.append(smaller_labels(np.where(blocks == 3, 255, blocks).astype(np.uint8), size))
    pixels = np.array([np.bincount(one.reshape(-1), minlength=256)[:3] for one in maps])
    masks = LabelMaps(maps, pixels, np.array([int((one == 255).sum()) for one in maps]))
    return Samples(sources, masks.rarest(), [f"{i}.png" for i in range(4)], masks=masks)


@pytest.mark.parametrize("resize", ["stretch", "pad", "crop"])
def test_judging_is_at_the_size_of_the_original_masks(run, large, resize):
    """Each photo by hand: logits back to its pixels, then the highest; what is cut off is not asked for."""
    preprocessing = Preprocessing(64, resize)
    data = VisionData("segment", run.labels, preprocessing, {"test": large})
    network = LabelNetwork.of_model(run.model, preprocessing)
    judged = segmentation_judging.judge_on(network, data, "test").judgement
    tally = SegmentationTally(run.labels)
    for index, source in enumerate(large.sources):
        truth = large.masks.read(index).copy()
        scores = logits_of(run, preprocessing.read(source))
        scale_y, scale_x, top, left = preprocessing.place(truth.shape)
        high, wide = truth.shape[0] * scale_y, truth.shape[1] * scale_x
        if resize == "crop":
            rows, columns = (round(-top / scale_y), round(-left / scale_x))
            answers = np.zeros_like(truth)
            seen = (slice(rows, truth.shape[0] - rows), slice(columns, truth.shape[1] - columns))
            answers[seen], _ = enlarged(scores, answers[seen].shape)
            hidden = np.ones(truth.shape, bool)
            hidden[seen] = False
            truth[hidden] = 255
        else:
            inner = scores[int(top) : int(top) + round(high), int(left) : int(left) + round(wide)]
            answers, _ = enlarged(inner, truth.shape)
        tally.add(truth, answers)
    wanted = tally.judgement()
    assert judged.void == wanted.void
    np.testing.assert_allclose(judged.confusion, wanted.confusion, atol=60)
    assert judged.mean_iou == pytest.approx(wanted.mean_iou, abs=2e-3)


def test_evaluate_goes_by_the_names_of_classes(run, large):
    names = (run.labels[2], run.labels[0], run.labels[1])
    order = np.full(256, 255, np.uint8)
    order[:3] = [names.index(name) for name in run.labels]
    maps = [order[one] for one in large.masks]
    masks = LabelMaps(maps, large.masks.pixels[:, [2, 0, 1]], large.masks.void)
    same = VisionData("segment", run.labels, run.preprocessing, {"test": large})
    turned = replace(same, class_names=names, splits={"test": replace(large, masks=masks)})
    wanted, found = run.evaluate(same), run.evaluate(turned)
    assert found.class_names == run.labels
    np.testing.assert_array_equal(found.confusion, wanted.confusion)
    few = replace(turned, class_names=names[:2], splits={"test": _without(turned.splits["test"], 2)})
    assert run.evaluate(few).confusion.sum(1)[run.labels.index(names[2])] == 0
    with pytest.raises(DataError, match="does not know: pear"):
        run.evaluate(replace(turned, class_names=("pear", *names[1:])))
    with pytest.raises(DataError, match="`split` must be one of test"):
        run.evaluate(turned, "train")
    assert run.evaluate(same, mode="sliding", flip=True).count == 4


def _without(part, label):
    maps = [np.where(one == label, 255, one).astype(np.uint8) for one in part.masks]
    pixels = part.masks.pixels[:, :2]
    return replace(part, masks=LabelMaps(maps, pixels, np.array([(one == 255).sum() for one in maps])))


def test_perfect_answers_are_perfect(run, large, tmp_path):
    """A network that knows the truth, at the size of the photos: nothing is worth looking at."""
    part = large
    known = {one.tobytes(): label for one, label in zip(part.sources, part.masks, strict=True)}

    def answer(source):
        labels = known[source.tobytes()]
        return np.eye(3, dtype=np.float32)[np.where(labels == 255, 0, labels)].transpose(2, 0, 1)[None]

    for index, source in enumerate(part.sources):
        size = source.shape[:2]
        network = LabelNetwork(lambda images, _: answer(images[0]), Preprocessing(size), 3)
        one = Samples([source], [0], ["a"], masks=part.masks.take([index]))
        data = VisionData("segment", run.labels, Preprocessing(size), {"test": one})
        judged = segmentation_judging.judge_on(network, data, "test")
        assert judged.judgement.mean_iou == 1.0 and judged.worst == ()


def test_the_worst_images_and_those_of_the_worst_classes(run, data, tmp_path):
    judged = segmentation_judging.judge_on(run.network, data, "test")
    shares = []
    for index, label_map in enumerate(data.splits["test"].masks):
        (found,) = run.predict(data.splits["test"].sources[index])
        shares.append((found.labels != label_map).mean())
    assert all("Misses most of" in why for _, why in judged.worst if why) and judged.worst[0][0] >= 0
    first = [index for index, _ in judged.worst]
    assert first == np.argsort(shares)[::-1][: len(first)].tolist()
    scenes_ = segmentation_judging.worst_scenes(run.network, data, "test", judged.worst)
    for scene, (index, why) in zip(scenes_, judged.worst, strict=True):
        assert (scene.name, scene.why) == (data.splits["test"].names[index], why)
        np.testing.assert_array_equal(scene.truth, data.splits["test"].masks.read(index))
        assert (scene.truth != scene.found).mean() == pytest.approx(shares[index])
    for some in (scenes_, []):
        segmentation_judging.write_scenes(tmp_path / "scenes.npz", some)
        back = segmentation_judging.read_scenes(tmp_path / "scenes.npz")
        assert [one.name for one in back] == [one.name for one in some]
        for one, other in zip(back, some, strict=True):
            np.testing.assert_array_equal(one.found, other.found)
            np.testing.assert_array_equal(one.image, other.image)


def test_views_are_described():
    assert Viewing().plain and not Viewing(mode="sliding").plain and not Viewing(scales=[2]).plain
    assert Viewing(flip=True).plain


def test_a_run_of_a_segmenter_is_opened_as_such(run, tmp_path):
    opened = Run.load(run.folder)
    assert isinstance(opened, SegmenterRun)
    assert opened.segmenter is opened.model
    with pytest.raises(RunError, match="is not that of a classifier's run"):
        Run(run.folder)
    with pytest.raises(RunError, match="Give the folder that was `out` in `train_segmenter`"):
        SegmenterRun.load(tmp_path)
    shutil.copytree(run.folder, tmp_path / "bad")
    (tmp_path / "bad" / "model.keras").write_bytes(b"half a file")
    with pytest.raises(RunError, match="model.keras cannot be read"):
        _ = SegmenterRun.load(tmp_path / "bad").model


def test_it_shows_itself(run):
    assert repr(run).startswith(f"SegmenterRun({str(run.folder)!r}): unet on small, 3 classes, mean IoU")
    page = run._repr_html_()
    assert "Worst images" in page
    assert "<script" not in page and " id=" not in page


def test_export_puts_certificates_into_the_report(run, tmp_path):
    bundle = run.export(tmp_path / "phone", formats=("tflite",))
    (file,) = bundle.files
    assert file.certificate.passed
    page = (run.folder / "report.html").read_text()
    assert "Exported files" in page and file.path.name in page
    source = run.export_source(scenes(count=30, seed=9))
    assert source.labels == run.labels and len(source.truth) == len(source.images)


def test_a_run_remembers_what_the_values_of_masks_mean(data, tmp_path):
    """Classes in an order of their own and a void with a name: the folder alone is enough afterwards."""
    for kind in ("images", "masks"):
        (tmp_path / "set" / kind).mkdir(parents=True)
    for index, source in enumerate(data.splits["train"].sources):
        values = np.array([7, 2, 4], np.uint8)[data.splits["train"].masks.read(index)]
        values[:4, :4] = 9
        Image.fromarray(source).save(tmp_path / f"set/images/{index}.png")
        Image.fromarray(values).save(tmp_path / f"set/masks/{index}.png")
    names = {9: "unlabelled", 7: "ground", 2: "disc", 4: "square"}
    settings = {"image_size": 64, "batch_size": 8, "cache": False}
    told = masks(tmp_path / "set", class_names=names, **settings)
    run = train(told, tmp_path / "run", epochs=1, freeze_epochs=None, strategy="scratch")
    assert run.record["decided"]["values"] == {
        "7": "ground",
        "2": "disc",
        "4": "square",
        "9": None,
        "255": None,
    }
    read = SegmenterRun.load(run.folder).read(tmp_path / "set")
    assert read.class_names == told.class_names == ("ground", "disc", "square")
    whole = masks(tmp_path / "set", class_names=names, **settings, validation_fraction=0)
    assert read.fingerprint() == whole.fingerprint()
    assert run.evaluate(tmp_path / "set").mean_iou == run.evaluate(whole).mean_iou
    assert (
        run.read(tmp_path / "set", class_names={7: "ground", 2: "disc", 4: "x", 9: "y"}).class_names[2] == "x"
    )


def test_values_0_and_1_leave_255_to_the_masks(run, tmp_path):
    """Masks of 0 and 255 are read as those of 0 and 1 are, whatever the run was trained on."""
    run = SegmenterRun.load(run.folder)
    assert run.record["decided"]["values"] is None  # of arrays
    assert run._legend() == {"class_names": list(run.labels)}
    for values, legend in (
        ({"0": "a", "1": "b", "255": None}, {"class_names": {0: "a", 1: "b"}}),
        ({"0": "a", "255": "b"}, {"class_names": {0: "a", 255: "b"}}),
        ({"0": "a", "1": "b"}, {"class_names": {0: "a", 1: "b"}, "void": None}),
        ({"1": "a", "0": "b", "3": None}, {"class_names": {1: "a", 0: "b"}, "void": [3]}),
    ):
        run.record["decided"]["values"] = values
        assert run._legend() == legend
