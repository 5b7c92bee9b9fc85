"""Who is on a photo, with a tiny embedder that looks at the mean colour of halves."""

import hashlib
import subprocess
import sys
import threading
import types
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import kerasvision.embedding.gallery_photos as gallery_photos
import kerasvision.embedding.gallery_search as gallery_search
from kerasvision.data.decoding import open_image
from kerasvision.embedding import Enrolled, Gallery
from kerasvision.embedding.gallery_search import NearestPeople
from kerasvision.errors import BadImageError, DataError, KerasvisionError, MissingPackageError
from kerasvision.metrics import pair_distances

COLOURS = {"ann": (220, 40, 40), "bob": (40, 220, 40), "cem": (40, 40, 220)}


@dataclass
class Tiny:
    """An embedder: mean colours of the upper and the lower half, from 0 to 1."""

    fingerprint: str = "tiny-1"
    threshold: float | None = 0.3
    distance: str = "euclidean"
    asked: list = field(default_factory=list)

    def embed(self, images) -> np.ndarray:
        self.asked.append(len(images))
        read = [np.asarray(open_image(image), np.float32) / 255 for image in images]
        return np.array([[*p[: len(p) // 2].mean((0, 1)), *p[len(p) // 2 :].mean((0, 1))] for p in read])


def photo(colour, seed=0, size=12) -> np.ndarray:
    noise = np.random.default_rng(seed).integers(-25, 25, (size, size, 3))
    return np.clip(np.array(colour) + noise, 0, 255).astype(np.uint8)


@pytest.fixture
def folder(tmp_path) -> Path:
    """Write three photos of each of three people."""
    for number, (name, colour) in enumerate(COLOURS.items()):
        (tmp_path / "people" / name).mkdir(parents=True)
        for i in range(3):
            Image.fromarray(photo(colour, 10 * number + i)).save(tmp_path / "people" / name / f"{i}.png")
    return tmp_path / "people"


@pytest.fixture
def gallery(folder) -> Gallery:
    return Gallery.build(Tiny(), folder)


def contents(folder: Path) -> dict:
    return {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in sorted(folder.rglob("*")) if p.is_file()}


# -- enrolling


def test_build_enrols_everybody_and_changes_nothing(folder):
    before = contents(folder)
    gallery = Gallery.build(Tiny(), folder)
    assert gallery.people == {"ann": 3, "bob": 3, "cem": 3} and len(gallery) == 9 and "ann" in gallery
    assert gallery.photos("bob") == ("bob/0.png", "bob/1.png", "bob/2.png")
    assert repr(gallery) == "Gallery of 3 people with 9 photos"
    gallery.identify(folder / "ann" / "0.png")
    assert contents(folder) == before


def test_photos_go_to_the_embedder_in_blocks(folder, monkeypatch):
    monkeypatch.setattr(gallery_photos, "BLOCK", 4)
    embedder = Tiny()
    assert Gallery.build(embedder, folder).people == {"ann": 3, "bob": 3, "cem": 3}
    assert embedder.asked == [4, 4, 1]


def test_everything_that_holds_images_can_be_enrolled(folder, tmp_path):
    gallery = Gallery(Tiny())
    file = folder / "ann" / "0.png"
    for images in (file, photo((220, 40, 40), 77), [Image.fromarray(photo((220, 40, 40), 78))]):
        assert gallery.enrol("ann", images) == Enrolled(1)
    assert gallery.enrol("bob", folder / "bob").added == 3
    # The bytes of a file are the same photo as the file.
    encoded = (folder / "cem" / "0.png").read_bytes()
    assert gallery.enrol("cem", [str(folder / "cem" / "*.png"), encoded]) == Enrolled(3, ("image #4",))
    assert gallery.people == {"ann": 3, "bob": 3, "cem": 3}


def test_the_same_photo_is_enrolled_once(gallery, folder):
    again = gallery.enrol("ann", folder / "ann")
    assert again.added == 0 and len(again.repeated) == 3 and str(again) == "0 added, 3 enrolled already"
    fresh = photo((220, 40, 40), 90)
    assert gallery.enrol("ann", [fresh, fresh.copy()]) == Enrolled(1, ("image #2",))
    assert len(gallery) == 10


def test_the_photo_of_somebody_else_is_refused(gallery, folder):
    with pytest.raises(
        BadImageError, match=r"0.png: is given as a photo of dan, but is one of ann \(ann/0.png\)"
    ):
        gallery.enrol("dan", [folder / "ann" / "0.png", photo((90, 90, 90))])
    assert "dan" not in gallery and len(gallery) == 9
    done = gallery.enrol("dan", [folder / "ann" / "0.png", photo((90, 90, 90))], on_bad_file="skip")
    assert (done.added, len(done.skipped)) == (1, 1) and gallery.people["dan"] == 1


def test_accents_are_one_letter_or_two(folder):
    (folder / "Zoe\u0308").mkdir()
    Image.fromarray(photo((120, 120, 120))).save(folder / "Zoe\u0308" / "a.png")
    gallery = Gallery.build(Tiny(), folder)
    assert "Zo\u00eb" in gallery and gallery.enrol("Zo\u00eb", photo((121, 121, 121))).added == 1
    assert gallery.people["Zo\u00eb"] == 2


def test_bad_files_are_named_or_left_out(folder):
    (folder / "bob" / "bad.jpg").write_bytes(b"no image")
    (folder / "bob" / "cut.png").write_bytes((folder / "ann" / "0.png").read_bytes()[:90])
    (folder / "stray.png").write_bytes((folder / "ann" / "0.png").read_bytes())
    (folder / "nobody").mkdir()
    with pytest.raises(DataError, match="beside the class folders"):
        Gallery.build(Tiny(), folder)
    (folder / "stray.png").rename(folder.parent / "stray.png")
    with pytest.raises(DataError, match="There is no photo of nobody"):
        Gallery.build(Tiny(), folder)
    (folder.parent / "stray.png").rename(folder / "stray.png")
    embedder = Tiny()
    gallery = Gallery.build(embedder, folder, on_bad_file="skip")
    assert gallery.people == {"ann": 3, "bob": 3, "cem": 3} and embedder.asked == [11, 9]
    (folder / "nobody").rmdir()
    (folder / "stray.png").unlink()
    with pytest.raises(BadImageError, match=r"bob.bad.jpg"):
        Gallery.build(Tiny(), folder)
    done = Gallery(Tiny()).enrol("bob", folder / "bob", on_bad_file="skip")
    assert done.added == 3 and sorted(Path(e.path).name for e in done.skipped) == ["bad.jpg", "cut.png"]
    with pytest.raises(DataError, match="None of the 1 photos can be read"):
        Gallery(Tiny()).enrol("bob", folder / "bob" / "bad.jpg", on_bad_file="skip")


def test_a_photo_that_only_the_embedder_refuses_is_left_out(folder):
    class Picky(Tiny):
        def embed(self, images):
            for image in images:
                if str(image).endswith("1.png"):
                    raise BadImageError(image, "is not to my taste")
            return super().embed(images)

    gallery = Gallery.build(Picky(), folder, on_bad_file="skip")
    assert gallery.people == {"ann": 2, "bob": 2, "cem": 2}

    class Lying(Tiny):
        def embed(self, images):
            raise BadImageError("somewhere else", "is bad")

    with pytest.raises(BadImageError, match="somewhere else"):
        Gallery.build(Lying(), folder, on_bad_file="skip")


def test_people_in_folders_of_splits_are_enrolled(folder, capsys, monkeypatch):
    monkeypatch.delenv("KERASVISION_QUIET", raising=False)
    for split, names in {"train": ["ann", "bob"], "val": ["cem"]}.items():
        (folder / split).mkdir()
        for name in names:
            (folder / name).rename(folder / split / name)
    gallery = Gallery.build(Tiny(), folder)
    assert gallery.people == {"ann": 3, "bob": 3, "cem": 3}
    assert gallery.photos("cem")[0] == "val/cem/0.png"
    assert "Gallery of 3 people with 9 photos: 9 added." in capsys.readouterr().err
    (folder / "train" / "nobody").mkdir()
    assert "nobody" not in Gallery.build(Tiny(), folder, on_bad_file="skip")
    (folder / "train" / "ann").rename(folder / "ann")
    with pytest.raises(DataError, match="not clear whether folders"):
        Gallery.build(Tiny(), folder)


def test_folders_without_people_are_refused(tmp_path):
    with pytest.raises(DataError, match="must have a folder for each person"):
        Gallery.build(Tiny(), tmp_path)
    with pytest.raises(DataError, match="is not there"):
        Gallery.build(Tiny(), tmp_path / "nowhere")


# -- identifying


def test_the_nearest_people_are_told(gallery):
    found = gallery.identify(photo((215, 50, 45), 99), k=2)
    assert found.name == "ann" and found.threshold == 0.3 and len(found.candidates) == 2
    assert found.distance == found.candidates[0].distance < 0.3 < found.candidates[1].distance
    assert found.candidates[0].photo.startswith("ann/") and found.candidates[0].name == "ann"
    assert str(found).startswith("image #1: ann (threshold 0.300; ann 0.0")
    assert len(gallery.identify(photo((1, 2, 3)), k=50).candidates) == 3


def test_somebody_unknown_is_nobody(gallery):
    found = gallery.identify(photo((220, 220, 30)))
    assert found.name is None and found.distance > 0.3 and "image #1: nobody (" in str(found)
    assert gallery.identify(photo((220, 220, 30)), threshold=9.0).name is not None
    exactly = gallery.identify(photo((215, 50, 45), 99))
    assert gallery.identify(photo((215, 50, 45), 99), threshold=exactly.distance).name == "ann"


def test_an_enrolled_photo_is_at_distance_zero(gallery, folder):
    found = gallery.identify_all(folder)
    assert [one.distance for one in found] == [0.0] * 9
    assert [one.name for one in found] == ["ann"] * 3 + ["bob"] * 3 + ["cem"] * 3


def test_bad_questions_are_named_or_left_out(gallery, folder, tmp_path):
    (tmp_path / "bad.jpg").write_bytes(b"no image")
    questions = [folder / "ann" / "0.png", tmp_path / "bad.jpg", folder / "bob" / "0.png"]
    with pytest.raises(BadImageError, match=r"bad.jpg"):
        gallery.identify_all(questions)
    assert [one.name for one in gallery.identify_all(questions, on_bad_file="skip")] == ["ann", "bob"]


def test_removing(gallery, folder):
    assert gallery.remove("bob") == 3
    assert gallery.people == {"ann": 3, "cem": 3} and "bob" not in gallery
    found = gallery.identify(folder / "bob" / "0.png")
    assert found.name is None and [one.name for one in found.candidates if one.name == "bob"] == []
    assert gallery.photos("cem") == ("cem/0.png", "cem/1.png", "cem/2.png")
    with pytest.raises(KerasvisionError, match=r"There is no person 'amn'. Did you mean `ann`\?"):
        gallery.remove("amn")
    gallery.remove("ann")
    gallery.remove("cem")
    with pytest.raises(KerasvisionError, match="Nobody is enrolled"):
        gallery.identify(folder / "bob" / "0.png")
    assert gallery.enrol("bob", folder / "bob").added == 3 and gallery.people == {"bob": 3}


@pytest.mark.parametrize("distance", ["euclidean", "squared", "cosine"])
@pytest.mark.parametrize("groups", [1, 7, 4096])
@pytest.mark.parametrize("cells", [64, 1 << 20])
def test_search_equals_a_slow_loop(monkeypatch, rng, distance, groups, cells):
    monkeypatch.setattr(gallery_search, "_GROUPS", groups)
    monkeypatch.setattr(gallery_search, "_CELLS", cells)
    monkeypatch.setattr(gallery_search, "_QUERIES", 5)
    owners = np.sort(rng.integers(0, 30, 200))
    owners = np.unique(owners, return_inverse=True)[1]
    vectors = (rng.normal(size=(200, 6)) + 50).astype(np.float32)  # far from 0, where products round most
    vectors[20:40] = vectors[20]  # many are as near as each other
    questions = np.concatenate([vectors[[3, 25]], vectors[:9] + rng.normal(size=(9, 6))]).astype(np.float32)
    for k in (1, 4, 29, 100):
        for question, one in zip(
            questions, NearestPeople(vectors, owners, distance).find(questions, k), strict=True
        ):
            every = np.concatenate([question[None], vectors])
            apart = pair_distances(every, np.zeros(200, int), np.arange(1, 201), distance=distance)
            nearest = np.array([apart[owners == who].min() for who in range(owners[-1] + 1)])
            expected = np.sort(nearest)[:k]
            np.testing.assert_allclose(one.distances, expected, atol=1e-6)
            np.testing.assert_allclose(apart[one.rows], one.distances, atol=1e-6)
            np.testing.assert_array_equal(owners[one.rows], one.owners)
            assert len(set(one.owners.tolist())) == len(one.owners) == min(k, owners[-1] + 1)


def test_rounding_of_the_product_does_not_change_who_is_nearest(rng):
    # Squares of 5e7 in float32 are off by some units, as much as the distances themselves.
    vectors = (rng.normal(size=(300, 8)) + 2500).astype(np.float32)
    questions = (rng.normal(size=(20, 8)) + 2500).astype(np.float32)
    found = NearestPeople(vectors, np.arange(300), "euclidean").find(questions, 3)
    for question, one in zip(questions, found, strict=True):
        apart = np.linalg.norm(vectors.astype(float) - question, axis=1)
        assert one.rows.tolist() == np.argsort(apart)[:3].tolist()


class FakeFaiss(types.ModuleType):
    """The part of faiss that is used, slowly."""

    class IndexFlatL2:
        searches = 0

        def __init__(self, dimensions):
            self.dimensions = dimensions

        def add(self, vectors):
            assert vectors.dtype == np.float32 and vectors.shape[1] == self.dimensions
            self.vectors = vectors

        def search(self, questions, count):
            FakeFaiss.IndexFlatL2.searches += 1
            squares = ((questions[:, None] - self.vectors[None]) ** 2).sum(2)
            rows = np.argsort(squares, axis=1)[:, :count]
            return np.take_along_axis(squares, rows, 1), rows


@pytest.mark.parametrize("distance", ["euclidean", "cosine"])
def test_faiss_gives_the_same_answers(monkeypatch, rng, distance):
    monkeypatch.setitem(sys.modules, "faiss", FakeFaiss("faiss"))
    names = ["many"] * 150 + [f"p{i}" for i in range(50)]  # the nearest 150 photos are of one person
    vectors = np.concatenate([rng.normal(0, 0.1, (150, 8)), rng.normal(3, 1, (50, 8))])
    plain, fast = (Gallery(Tiny(distance=distance), search=s) for s in ("numpy", "faiss"))
    for gallery in (plain, fast):
        gallery.enrol_vectors(names, vectors)
    questions = rng.normal(0, 0.1, (3, 8))
    before = FakeFaiss.IndexFlatL2.searches
    assert fast.identify_vectors(questions, k=5) == plain.identify_vectors(questions, k=5)
    assert FakeFaiss.IndexFlatL2.searches > before + 1  # it had to ask again
    assert fast.identify_vectors(questions, k=60) == plain.identify_vectors(questions, k=60)


def test_faiss_is_for_large_galleries(monkeypatch, rng):
    vectors, owners = rng.normal(size=(40, 4)).astype(np.float32), np.arange(40)
    monkeypatch.setitem(sys.modules, "faiss", FakeFaiss("faiss"))
    assert type(gallery_search.make_search(vectors, owners, "euclidean", "auto")) is NearestPeople
    monkeypatch.setattr(gallery_search, "LARGE", 40)
    made = gallery_search.make_search(vectors, owners, "euclidean", "auto")
    assert type(made) is gallery_search.FaissNearestPeople
    assert type(gallery_search.make_search(vectors, owners, "euclidean", "numpy")) is NearestPeople
    monkeypatch.setitem(sys.modules, "faiss", None)  # as if it were not installed
    assert type(gallery_search.make_search(vectors, owners, "euclidean", "auto")) is NearestPeople
    with pytest.raises(MissingPackageError, match=r"pip install 'kerasvision\[faiss\]'"):
        gallery_search.make_search(vectors, owners, "euclidean", "faiss")


def test_real_faiss_gives_the_same_answers(rng):
    pytest.importorskip("faiss")
    vectors, questions = rng.normal(size=(500, 16)), rng.normal(size=(20, 16))
    plain, fast = (Gallery(Tiny(), search=s) for s in ("numpy", "faiss"))
    for gallery in (plain, fast):
        gallery.enrol_vectors([f"p{i // 3}" for i in range(500)], vectors)
    assert fast.identify_vectors(questions, k=5) == plain.identify_vectors(questions, k=5)


# -- files


def test_what_is_saved_is_what_is_loaded(gallery, folder, tmp_path):
    gallery.enrol("Zo\u00eb \udce9", photo((99, 99, 99)))
    file = tmp_path / "people.gallery"
    gallery.save(file)
    again = Gallery.load(file, Tiny(threshold=0.2))
    assert again.people == gallery.people and again.photos("ann") == gallery.photos("ann")
    question = photo((215, 50, 45), 99)
    assert again.identify(question).candidates == gallery.identify(question).candidates
    assert again.identify(question).threshold == 0.2
    assert again.enrol("ann", folder / "ann").added == 0
    again.save(file)
    Gallery(Tiny()).save(tmp_path / "empty.gallery")
    assert len(Gallery.load(tmp_path / "empty.gallery", Tiny())) == 0
    with pytest.raises(KerasvisionError, match=r"`file` .*lie in the folder .*no.such, which is not there"):
        gallery.save(tmp_path / "no" / "such" / "x.gallery")


def test_vectors_of_another_model_are_refused(gallery, tmp_path):
    gallery.save(tmp_path / "people.gallery")
    with pytest.raises(
        KerasvisionError, match=r"another embedder \(fingerprint tiny-1; this one is tiny-2\)"
    ):
        Gallery.load(tmp_path / "people.gallery", Tiny(fingerprint="tiny-2"))


def test_a_damaged_file_is_refused_whatever_bit_it_is(gallery, tmp_path):
    file = tmp_path / "people.gallery"
    gallery.save(file)
    whole = file.read_bytes()
    for place in [*range(0, len(whole), 37), len(whole) - 1]:
        file.write_bytes(whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1 :])
        with pytest.raises(KerasvisionError, match="is damaged|is not a gallery"):
            Gallery.load(file, Tiny())
    for length in (0, 10, 30, 60, len(whole) // 2, len(whole) - 1):
        file.write_bytes(whole[:length])
        with pytest.raises(KerasvisionError, match="is damaged|is not a gallery"):
            Gallery.load(file, Tiny())
    with pytest.raises(KerasvisionError, match="is damaged"):
        file.write_bytes(whole + b"\0")
        gallery.save(file)
    gallery.save(file, replace=True)
    assert len(Gallery.load(file, Tiny())) == 9


def test_a_later_version_is_refused(gallery, tmp_path, monkeypatch):
    from kerasvision.embedding import gallery_file

    monkeypatch.setattr(gallery_file, "VERSION", 2)
    gallery.save(tmp_path / "people.gallery")
    monkeypatch.undo()
    with pytest.raises(KerasvisionError, match="later version"):
        Gallery.load(tmp_path / "people.gallery", Tiny())


def test_files_that_are_no_galleries_are_left_alone(gallery, tmp_path, folder):
    file = folder / "ann" / "0.png"
    before = file.read_bytes()
    for replace in (False, True):
        with pytest.raises(KerasvisionError, match=r"0.png is not a gallery"):
            gallery.save(file, replace=replace)
    assert file.read_bytes() == before
    with pytest.raises(KerasvisionError, match=r"0.png is not a gallery"):
        Gallery.load(file, Tiny())
    with pytest.raises(KerasvisionError, match="is not there"):
        Gallery.load(tmp_path / "nowhere.gallery", Tiny())
    with pytest.raises(KerasvisionError, match="cannot be read"):
        Gallery.load(tmp_path, Tiny())


def test_nothing_is_lost_to_another_writer(gallery, tmp_path):
    file = tmp_path / "people.gallery"
    gallery.save(file)
    here, there = Gallery.load(file, Tiny()), Gallery.load(file, Tiny())
    there.enrol("dan", photo((90, 90, 90)))
    there.save(file)
    here.enrol("eve", photo((150, 150, 150)))
    with pytest.raises(
        KerasvisionError, match="was written by another process since .* 4 people with 10 photos"
    ):
        here.save(file)
    with pytest.raises(KerasvisionError, match="holds a gallery that this one was not read from"):
        Gallery(Tiny()).save(file)
    assert "dan" in Gallery.load(file, Tiny())
    merged = Gallery.load(file, Tiny())
    merged.enrol("eve", photo((150, 150, 150)))
    merged.save(file)
    merged.save(file)
    assert list(Gallery.load(file, Tiny()).people) == ["ann", "bob", "cem", "dan", "eve"]


def test_a_reader_never_sees_half_a_file(gallery, tmp_path):
    file, stop, seen = tmp_path / "people.gallery", threading.Event(), []
    gallery.save(file)

    def read():
        while not stop.is_set():
            seen.append(len(Gallery.load(file, Tiny())))

    reader = threading.Thread(target=read)
    reader.start()
    for i in range(30):
        gallery.enrol("dan", photo((90, 90, 90), i))
        gallery.save(file)
    stop.set()
    reader.join()
    assert seen == sorted(seen) and len(Gallery.load(file, Tiny())) == 39


WRITER = """
import sys
from pathlib import Path
sys.path.insert(0, str(Path(sys.argv[1]).parent))
from test_gallery import Tiny, photo
from kerasvision.embedding import Gallery
from kerasvision.errors import KerasvisionError
name, file, refused = sys.argv[2], sys.argv[3], 0
for i in range(8):
    while True:
        gallery = Gallery.load(file, Tiny())
        gallery.enrol(name, photo((90, 90, 90), hash((name, i)) % 2**31))
        try:
            gallery.save(file)
            break
        except KerasvisionError as error:
            assert "another process" in str(error)
"""


def test_processes_that_write_at_once_lose_nothing(gallery, tmp_path):
    file = tmp_path / "people.gallery"
    gallery.save(file)
    command = [sys.executable, "-c", WRITER, __file__]
    writers = [subprocess.Popen([*command, name, file]) for name in ("dan", "eve")]
    assert [writer.wait(timeout=120) for writer in writers] == [0, 0]
    assert Gallery.load(file, Tiny()).people == {"ann": 3, "bob": 3, "cem": 3} | {"dan": 8, "eve": 8}


def test_threads_enrol_and_identify_at_once(gallery, folder):
    failures = []

    def work(name):
        try:
            for i in range(15):
                gallery.enrol(
                    name, photo((90, 90, 90), int(hashlib.md5(f"{name}{i}".encode()).hexdigest()[:6], 16))
                )
                assert gallery.identify(folder / "ann" / "0.png").name == "ann"
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(name,)) for name in ("dan", "eve", "fay")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures and gallery.people == {"ann": 3, "bob": 3, "cem": 3, "dan": 15, "eve": 15, "fay": 15}


# -- errors


def test_what_is_no_embedder_is_refused():
    with pytest.raises(KerasvisionError, match=r"Received: object, which has no embed, fingerprint"):
        Gallery(object())
    with pytest.raises(KerasvisionError, match="`distance` must be one of"):
        Gallery(Tiny(distance="manhattan"))
    with pytest.raises(KerasvisionError, match="`search` must be"):
        Gallery(Tiny(), search="quick")


@pytest.mark.parametrize(
    "vectors, message",
    [
        (np.zeros(6), r"must give \(1, d\) numbers"),
        ([[np.nan, 1]], "not finite"),
        ([[0.0, 0.0]], "all zeros"),
    ],
)
def test_broken_embedders_are_noticed(vectors, message):
    embedder = Tiny()
    embedder.embed = lambda images: vectors
    with pytest.raises(KerasvisionError, match=message):
        Gallery(embedder).enrol("ann", photo((1, 2, 3)))


def test_errors(gallery, folder):
    question = photo((1, 2, 3))
    with pytest.raises(KerasvisionError, match="`k` must be at least 1"):
        gallery.identify(question, k=0)
    with pytest.raises(DataError, match="`identify_all` takes many"):
        gallery.identify(folder)
    with pytest.raises(KerasvisionError, match="`name` must be text"):
        gallery.enrol("  ", question)
    with pytest.raises(DataError, match="`on_bad_file` must be"):
        gallery.enrol("ann", question, on_bad_file="ignore")
    with pytest.raises(KerasvisionError, match="must have 6 dimensions"):
        gallery.identify_vectors([[1.0, 2.0]])
    with pytest.raises(KerasvisionError, match="must have 6 dimensions"):
        gallery.enrol_vectors(["ann"], [[1.0, 2.0]])
    with pytest.raises(KerasvisionError, match="`photos` must be 1 names"):
        gallery.enrol_vectors(["ann"], [[1.0, 2.0]], photos=["a", "b"])
    gallery.embedder.threshold = None
    with pytest.raises(KerasvisionError, match="`threshold` must be a distance"):
        gallery.identify(question)
    assert gallery.identify(question, threshold=5).name
