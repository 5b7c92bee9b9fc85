"""Aligned faces: the similarity against Umeyama's, pixels against slow sampling, landmarks, refusals."""

import numpy as np
import pytest
from PIL import Image

from kerasvision.data import (
    Preprocessing,
    align,
    find_landmarks,
    identity_csv,
    identity_folder,
    lfw_folder,
    read_landmarks,
    write_landmarks,
)
from kerasvision.data.alignment import TEMPLATES, similarity
from kerasvision.errors import BadImageError, DataError

FACE = TEMPLATES["arcface"]


def umeyama(points: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Return the (2, 3) matrix by the singular value decomposition of the paper, equations 38 to 43."""
    p, q = points - points.mean(0), target - target.mean(0)
    u, d, vt = np.linalg.svd(q.T @ p / len(p))
    signs = np.array([1.0, np.sign(np.linalg.det(u) * np.linalg.det(vt))])
    rotation = u @ np.diag(signs) @ vt
    scale = (d * signs).sum() / p.var(0).sum()
    return np.c_[scale * rotation, target.mean(0) - scale * rotation @ points.mean(0)]


def turned(points: np.ndarray, degrees: float = 0.0, scale: float = 1.0, shift=(0.0, 0.0)) -> np.ndarray:
    """Return points turned about the origin, clockwise as seen, then scaled and moved."""
    angle = np.deg2rad(degrees)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return scale * points @ turn.T + shift


def slow_sample(pixels: np.ndarray, matrix: np.ndarray, side: int) -> np.ndarray:
    """Return bilinear samples of (h, w, 3), one by one; `matrix` takes places of the face to the photo."""
    out = np.zeros((side, side, 3))
    high, wide = pixels.shape[:2]
    for y in range(side):
        for x in range(side):
            px, py = matrix @ (x, y, 1)
            left, top = int(np.floor(px)), int(np.floor(py))
            if 0 <= left < wide - 1 and 0 <= top < high - 1:
                a, b = px - left, py - top
                upper = (1 - a) * pixels[top, left] + a * pixels[top, left + 1]
                lower = (1 - a) * pixels[top + 1, left] + a * pixels[top + 1, left + 1]
                out[y, x] = (1 - b) * upper + b * lower
    return out


def inverse(matrix: np.ndarray) -> np.ndarray:
    return np.linalg.inv(np.r_[matrix, [[0, 0, 1]]])[:2]


@pytest.mark.parametrize("count", [2, 5])
def test_similarity_is_umeyamas(rng, count):
    for _ in range(50):
        points, target = rng.normal(0, 40, (2, count, 2)) + 60
        factor, shift = similarity(points, target)
        matrix = [[factor.real, -factor.imag, shift.real], [factor.imag, factor.real, shift.imag]]
        np.testing.assert_allclose(matrix, umeyama(points, target), rtol=1e-9, atol=1e-9)


def test_a_face_in_its_place_stays_as_it_is(photo):
    pixels = photo(112, 112)
    np.testing.assert_array_equal(align(pixels, FACE), pixels)
    np.testing.assert_array_equal(align(pixels, TEMPLATES["eyes"], template="eyes"), pixels)


@pytest.mark.parametrize("degrees", [0, 20, -75])
def test_pixels_are_bilinear_samples(photo, degrees):
    pixels = photo(90, 120, noise=0)
    points = turned(FACE, degrees, 0.4, (40 + 0.2 * degrees, 30 - 0.3 * degrees))
    expected = slow_sample(pixels, inverse(umeyama(points, FACE)), 112)
    found = align(pixels, points).astype(float)
    inside = expected.any(-1) & found.any(-1)  # edges of the photo are dealt with otherwise
    assert inside.mean() > 0.5
    np.testing.assert_allclose(found[inside], expected[inside], atol=1.5)


def test_a_large_photo_is_reduced_without_aliasing(photo):
    """Fine stripes of a photo ten times as large become their mean."""
    stripes = np.zeros((1120, 1120, 3), np.uint8)
    stripes[:, ::2] = 200
    face = align(stripes, FACE * 10)
    assert np.abs(face[2:-2, 2:-2].astype(int) - 100).max() <= 2
    large = np.asarray(
        Image.fromarray(photo(112, 112, noise=0)).resize((1120, 1120), Image.Resampling.BILINEAR)
    )
    away = np.abs(align(large, 10 * FACE + 4.5).astype(int) - photo(112, 112, noise=0))
    assert away[3:-3, 3:-3].mean() < 2


@pytest.mark.parametrize("size", [56, 112, 160])
@pytest.mark.parametrize("degrees", [0, 35, 180])
def test_landmarks_land_on_the_template(size, degrees):
    points = turned(FACE, degrees, 1.7, (190, 180))
    target = FACE * size / 112
    for number, (x, y) in enumerate(points):
        canvas = np.zeros((400, 400, 3), np.uint8)
        rows, columns = np.mgrid[:400, :400]
        canvas[(columns - x) ** 2 + (rows - y) ** 2 < 36] = 255
        face = align(canvas, points, image_size=size)[..., 0].astype(float)
        rows, columns = np.mgrid[:size, :size]
        centre = np.array([(columns * face).sum(), (rows * face).sum()]) / face.sum()
        np.testing.assert_allclose(centre, target[number], atol=0.6)


def test_eyes_of_five_points(photo):
    pixels = photo(200, 200)
    points = turned(FACE, 10, 1.2, (20, 10))
    np.testing.assert_array_equal(
        align(pixels, points, template="eyes"), align(pixels, points[:2], template="eyes")
    )


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"landmarks": FACE[:2]}, DataError, r'must be \(5, 2\) .* template="eyes"'),
        ({"landmarks": FACE[:3], "template": "eyes"}, DataError, r"must be \(2, 2\) .* Received: \(3, 2\)"),
        ({"landmarks": "left"}, DataError, "`landmarks` must be numbers"),
        ({"template": "dlib"}, DataError, "`template` must be"),
        ({"image_size": (112, 96)}, DataError, r"`image_size` must be one number .* \(112, 96\)"),
        ({"landmarks": FACE / 112}, BadImageError, "shares of width and height"),
        ({"landmarks": FACE * np.nan}, BadImageError, "no face in pixels"),
        ({"landmarks": FACE + 300}, BadImageError, "lie beside it"),
        ({"landmarks": FACE[[1, 0, 2, 4, 3]]}, BadImageError, "left and right exchanged"),
        ({"landmarks": FACE[[1, 0]], "template": "eyes"}, BadImageError, "left and right exchanged"),
    ],
)
def test_refused(photo, arguments, error, words):
    with pytest.raises(error, match=words):
        align(**{"image": photo(130, 130), "landmarks": FACE} | arguments)


@pytest.fixture
def faces(tmp_path, photo):
    """Return a folder of 6 people with 2 photos each of 60 x 80, and where their faces are."""
    known = {}
    for person in range(6):
        for shot in range(2):
            name = f"p{person}/{shot}.png"
            (tmp_path / "faces" / f"p{person}").mkdir(parents=True, exist_ok=True)
            Image.fromarray(photo(60, 80, seed=10 * person + shot)).save(tmp_path / "faces" / name)
            known[name] = turned(FACE, 5 * shot, 0.35 + 0.02 * person, (15, 8))
    return tmp_path / "faces", known


@pytest.mark.parametrize("kind", ["file", "mapping", "detector"])
def test_loading_aligns(faces, kind, tmp_path, photo):
    root, known = faces
    table = tmp_path / "landmarks.csv"
    write_landmarks(table, known)
    by_pixels = {np.asarray(Image.open(root / name)).tobytes(): points for name, points in known.items()}
    given = {"file": table, "mapping": known, "detector": lambda image: by_pixels[image.tobytes()]}[kind]
    data = identity_folder(root, image_size=56, landmarks=given)
    assert data.preprocessing == Preprocessing(56, alignment="arcface")
    for _ in range(2):  # the second time from the cache
        for split, names in data.files.items():
            expected = [align(str(root / name), known[name], image_size=56) for name in names]
            np.testing.assert_array_equal(data.images(split, range(len(names))), expected)
    assert data.cache is not None and data.splits["train"].sources[0].shape == (56, 56, 3)


def test_other_landmarks_are_other_data(faces):
    root, known = faces
    name = "p0/0.png"
    first = identity_folder(root, image_size=56, landmarks=known, by_identity_split=(1, 0))
    first.images("train", range(12))
    moved = identity_folder(
        root, landmarks=known | {name: known[name] + 3}, image_size=56, by_identity_split=(1, 0)
    )
    same = identity_folder(root, image_size=56, landmarks=dict(known), by_identity_split=(1, 0))
    assert first.fingerprint() == same.fingerprint() != moved.fingerprint()
    np.testing.assert_array_equal(
        moved.images("train", [0])[0], align(str(root / name), known[name] + 3, image_size=56)
    )
    assert (moved.images("train", [0]) != first.images("train", [0])).any()


def test_photos_without_a_face_are_bad_files(faces):
    root, known = faces
    (root / "p5" / "1.png").write_bytes(b"no image")
    known |= {"p1/0.png": None, "p2/1.png": None}
    with pytest.raises(BadImageError, match=r"p1/0.png: no face was found on it, and 1 more problem .*skip"):
        identity_folder(root, image_size=56, landmarks=known)
    data = identity_folder(root, image_size=56, landmarks=known, on_bad_file="skip")
    assert [error.reason.split()[0] for error in data.skipped] == ["no", "no", "is"]
    assert sum(map(len, data.splits.values())) == 9
    blind = identity_folder(root, image_size=56, landmarks=lambda image: FACE / 3, on_bad_file="skip")
    assert [error.path for error in blind.skipped] == [str(root / "p5" / "1.png")]
    with pytest.raises(DataError, match="None of the 12 images can be read.*no face"):
        identity_folder(root, image_size=56, landmarks=lambda image: None, on_bad_file="skip")


def test_found_landmarks_are_kept(faces, tmp_path):
    root, known = faces
    seen = []

    def detector(image: np.ndarray):
        seen.append(image.shape)
        return None if len(seen) == 1 else (FACE / 3)[:2] if len(seen) == 2 else FACE / 3

    (root / "p5" / "1.png").write_bytes(b"no image")
    found = find_landmarks(root, detector)
    assert seen == [(60, 80, 3)] * 11 and len(found) == 11 and found["p0/0.png"] is None
    write_landmarks(tmp_path / "new" / "landmarks.csv", found)
    again = read_landmarks(tmp_path / "new" / "landmarks.csv")
    assert list(again) == list(found) and again["p0/0.png"] is None and again["p0/1.png"].shape == (2, 2)
    for name in list(found)[1:]:
        np.testing.assert_array_equal(again[name], found[name])


def test_a_table_as_celeba_has_it(tmp_path):
    table = tmp_path / "celeba.csv"
    header = "image_id,lefteye_x,lefteye_y,righteye_x,righteye_y,nose_x,nose_y"
    table.write_text(
        f"{header},leftmouth_x,leftmouth_y,rightmouth_x,rightmouth_y\n1.jpg,1,2,3,4,5,6,7,8,9,10\n"
    )
    found = read_landmarks(table, path_column="image_id")
    np.testing.assert_array_equal(found["1.jpg"], np.arange(1.0, 11).reshape(5, 2))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "path,left_eye_x\na,1",
            "must have the columns path, left_eye_x, left_eye_y, .* Received: path, left",
        ),
        ("path,left_eye_x,left_eye_y,right_eye_x,right_eye_y\na,1,2,3", r"line 2: landmarks must be numbers"),
        ("path,left_eye_x,left_eye_y,right_eye_x,right_eye_y\na,1,2,3,x", r"line 2: .*'1, 2, 3, x'"),
        (
            "path,left_eye_x,left_eye_y,right_eye_x,right_eye_y\na,1,2,3,4\na,1,2,3,4",
            "line 3: a is there twice",
        ),
        ("path,left_eye_x,left_eye_y,right_eye_x,right_eye_y\n,1,2,3,4", "line 2: no path"),
    ],
)
def test_bad_tables(tmp_path, text, words):
    (tmp_path / "landmarks.csv").write_text(text)
    with pytest.raises(DataError, match=words):
        read_landmarks(tmp_path / "landmarks.csv")


def test_landmarks_that_do_not_fit(faces):
    root, known = faces
    with pytest.raises(DataError, match="`landmarks` has no line for p0/1.png"):
        identity_folder(root, image_size=56, landmarks={"p0/0.png": FACE})
    with pytest.raises(DataError, match=r"returned for p0/0.png \(5, 3\)"):
        identity_folder(root, image_size=56, landmarks=lambda image: np.zeros((5, 3)))
    with pytest.raises(DataError, match=r'For two eyes pass template="eyes"'):
        identity_folder(root, image_size=56, landmarks=lambda image: FACE[:2])
    with pytest.raises(DataError, match="`image_size` must be one number"):
        identity_folder(root, image_size=(56, 48), landmarks=known)


def test_tables_and_lfw_align_too(faces, tmp_path):
    root, known = faces
    table = tmp_path / "faces.csv"
    table.write_text("path,identity\n" + "\n".join(f"{name},{name[:2]}" for name in known))
    eyes = {name: points[:2] for name, points in known.items()}
    for data in (
        identity_csv(table, folder=root, image_size=56, landmarks=eyes, template="eyes"),
        lfw_folder(root, image_size=56, landmarks=eyes, template="eyes"),
    ):
        name = data.files["train"][0]
        expected = align(str(root / name), eyes[name], image_size=56, template="eyes")
        np.testing.assert_array_equal(data.images("train", [0])[0], expected)
        assert data.preprocessing.alignment == "eyes"


def test_a_model_of_aligned_faces_asks_for_landmarks(photo, tmp_path):
    preprocessing = Preprocessing(56, alignment="arcface")
    pixels, points = photo(90, 120), turned(FACE, 8, 0.6, (20, 5))
    face = align(pixels, points, image_size=56)
    np.testing.assert_array_equal(preprocessing.read(pixels, landmarks=points), face)
    np.testing.assert_array_equal(preprocessing.read(pixels, landmarks=lambda image: points), face)
    np.testing.assert_array_equal(preprocessing.read(face), face)
    with pytest.raises(
        BadImageError, match=r"me: has 90 x 120 pixels, but .*image_size=56, template='arcface'"
    ):
        preprocessing.read(pixels, "me")
    with pytest.raises(BadImageError, match="me: no face was found"):
        preprocessing.read(pixels, "me", landmarks=lambda image: None)
    Image.fromarray(photo(112, 112)).save(tmp_path / "double.jpg")  # which could be decoded at 56 x 56
    with pytest.raises(BadImageError, match="double.jpg: has 112 x 112 pixels"):
        preprocessing.read(tmp_path / "double.jpg")
    with pytest.raises(DataError, match="`landmarks` are for models of aligned faces"):
        Preprocessing(56).read(pixels, landmarks=points)


def test_alignment_is_saved_with_a_model():
    aligned, plain = Preprocessing(112, alignment="eyes"), Preprocessing(112)
    assert Preprocessing.from_dict(aligned.to_dict()) == aligned
    assert plain.to_dict() == {"image_size": [112, 112], "resize": "stretch"}
    with pytest.raises(DataError, match="`template` must be"):
        Preprocessing(112, alignment="dlib")
