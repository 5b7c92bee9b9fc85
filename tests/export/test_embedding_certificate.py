"""What an embedder's certificate says of vectors that differ, against a slow reference."""

from dataclasses import replace

import keras
import numpy as np
import pytest
from embedder_helpers import FALSE_ACCEPTS, SIZE, flags, source_of

from kerasvision.data.preprocessing import Preprocessing
from kerasvision.errors import CertificateError, ExportError
from kerasvision.export import Certificate, EmbeddingSource, certify_embedder
from kerasvision.export.certificate import require_passed

FIGURES = ("true_accepts_model", "true_accepts_file", "false_accepts_model", "false_accepts_file")


def by_colour(**options) -> keras.Model:
    """Return an embedder without training: the colours of four stripes, with weights written by hand."""
    image = keras.Input((SIZE, SIZE, 3))
    x = keras.layers.Rescaling(1 / 64, -2)(image)
    x = keras.layers.Flatten()(keras.layers.AveragePooling2D((SIZE // 4, SIZE))(x))
    if options.get("scaled", True):
        x = keras.layers.UnitNormalization()(x)
    return keras.Model(image, x, name="by_colour")


@pytest.fixture(scope="module")
def source() -> EmbeddingSource:
    return source_of(by_colour())


def certified(source, change, tmp_path, **options):
    """Certify a file that gives the model's embeddings, changed."""
    file = tmp_path / "file.tflite"
    file.write_bytes(b"content")
    return certify_embedder(
        source, lambda images: change(source.function(images)), file=file, format="tflite", **options
    )


def noisy(size: float):
    """Add noise of a size to unit vectors and scale them again."""

    def change(vectors):
        vectors = vectors + np.random.default_rng(0).normal(0, size, vectors.shape).astype(np.float32)
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    return change


def unchanged(vectors):
    return vectors


def slow_distance(a, b, distance) -> float:
    a, b = a.astype(float), b.astype(float)
    if distance == "cosine":
        return 1 - a @ b / np.linalg.norm(a) / np.linalg.norm(b)
    return np.sqrt(((a - b) ** 2).sum()) if distance == "euclidean" else ((a - b) ** 2).sum()


@pytest.mark.parametrize("distance", ["euclidean", "squared", "cosine"])
def test_figures_equal_a_slow_reference(tmp_path, distance):
    source = source_of(by_colour(), distance)
    proof = certified(source, noisy(0.1), tmp_path, quantize="int8")
    mine = source.model.predict(source.images.astype(np.float32), verbose=0)
    theirs = noisy(0.1)(mine)
    found = [1 - slow_distance(a, b, "cosine") for a, b in zip(mine, theirs, strict=True)]
    assert proof.mean_cosine == pytest.approx(np.mean(found), abs=1e-6)
    assert proof.least_cosine == pytest.approx(np.min(found), abs=1e-6)
    people, counts, agreed, others = source.identities, np.zeros((2, 3)), [], []
    for i in range(len(mine)):
        for j in range(i):
            said = [slow_distance(v[i], v[j], distance) <= source.threshold for v in (mine, theirs)]
            agreed.append(said[0] == said[1])
            others.append(1 - slow_distance(mine[i], mine[j], "cosine"))
            counts[int(people[i] == people[j])] += [1, *said]
    impostors, genuine = counts
    assert (proof.genuine, proof.impostors) == (genuine[0], impostors[0])
    assert proof.agreement == pytest.approx(np.mean(agreed))
    assert proof.others_cosine == pytest.approx(np.mean(others), abs=1e-6)
    expected = [*genuine[1:] / genuine[0], *impostors[1:] / impostors[0]]
    assert [getattr(proof, name) for name in FIGURES] == pytest.approx(expected)
    assert expected[2] == pytest.approx(FALSE_ACCEPTS, abs=0.01) and 0.3 < expected[0] < 1
    assert proof.accuracy_file == pytest.approx((expected[1] + 1 - expected[3]) / 2)
    assert proof.length_difference == pytest.approx(0, abs=1e-6)
    assert (proof.distance, proof.threshold) == (distance, source.threshold)


@pytest.mark.parametrize(
    ("kind", "passes"), [(None, False), ("float16", True), ("dynamic", True), ("int8", True)]
)
def test_small_differences_are_tolerated_in_quantised_files(source, tmp_path, kind, passes):
    proof = certified(source, noisy(0.008), tmp_path, quantize=kind)
    assert proof.passed == passes
    assert 0.999 < proof.mean_cosine < 0.99999
    assert passes or "the cosine with the model's embeddings is 0.99" in proof.failures[0]
    assert certified(source, unchanged, tmp_path, quantize=kind).passed


def test_a_worse_file_is_refused_with_by_how_much(source, tmp_path):
    proof = certified(source, noisy(0.2), tmp_path, quantize="int8")
    with pytest.raises(
        CertificateError, match=r"in the mean, needed is 0.98; .* Calibrate on more"
    ) as caught:
        require_passed(proof)
    assert caught.value.certificate is proof
    assert "FAILED" in str(proof) and "true accepts" in str(proof)


def test_vectors_of_other_images_are_refused(source, tmp_path):
    proof = certified(source, lambda vectors: np.roll(vectors, 8, axis=0), tmp_path, quantize="int8")
    assert proof.mean_cosine < 0.9 and not proof.passed


def test_lengths_are_compared_where_cosines_are_blind(source, tmp_path):
    proof = certified(source, lambda vectors: vectors * 1.2, tmp_path, quantize="int8")
    assert proof.mean_cosine == pytest.approx(1)
    assert proof.length_difference == pytest.approx(0.2, abs=1e-6)
    assert "lengths of embeddings differ by 0.2 of the model's" in proof.failures[0]
    assert proof.true_accepts_file < proof.true_accepts_model, "at this threshold it matters"


def test_false_accepts_are_refused_though_cosines_are_well(source, tmp_path):
    loose = {"length_difference": 1, "accuracy_change": 1}
    proof = certified(source, lambda vectors: vectors * 0.7, tmp_path, quantize="int8", tolerance=loose)
    assert proof.mean_cosine == pytest.approx(1)
    assert proof.false_accepts_file > 2 * FALSE_ACCEPTS + 1 / proof.impostors
    (failure,) = proof.failures
    assert f"false accepts at the threshold change from {proof.false_accepts_model:.2%} to" in failure
    allowed = loose | {"false_accept_factor": 20}
    assert certified(source, lambda v: v * 0.7, tmp_path, quantize="int8", tolerance=allowed).passed


def test_what_was_stated_for_the_threshold_is_allowed(source, tmp_path):
    """A model without a false accept on these images may not turn every file into a refused one."""
    low = replace(source, threshold=source.threshold * 0.3)
    loose = {"length_difference": 1, "accuracy_change": 1}
    proof = certified(low, lambda vectors: vectors * 0.4, tmp_path, quantize="int8", tolerance=loose)
    assert proof.false_accepts_model < proof.false_accepts_file < FALSE_ACCEPTS
    assert proof.passed
    stricter = certified(
        replace(low, false_accept_rate=None),
        lambda vectors: vectors * 0.4,
        tmp_path,
        quantize="int8",
        tolerance=loose,
    )
    assert stricter.passed == (
        proof.false_accepts_file <= 2 * proof.false_accepts_model + 1 / proof.impostors
    )


def test_a_change_of_accuracy_is_refused(source, tmp_path):
    loose = {"length_difference": 1}
    proof = certified(source, lambda vectors: vectors * 1.5, tmp_path, quantize="int8", tolerance=loose)
    assert proof.accuracy_file < proof.accuracy_model - 0.02
    assert "accuracy of verification at the threshold changes from" in proof.failures[0]


def test_without_identities_and_without_a_threshold(source, tmp_path):
    proof = certified(replace(source, identities=None), noisy(0.005), tmp_path, quantize="int8")
    assert proof.passed and proof.agreement > 0.98
    assert (proof.genuine, proof.accuracy_model) == (None, None)
    bare = certified(
        replace(source, threshold=None, false_accept_rate=None), noisy(0.005), tmp_path, quantize="int8"
    )
    assert bare.passed and bare.agreement is None and "verdict" not in str(bare)
    one = replace(source, identities=np.zeros(len(source.images), int))
    alone = certified(one, unchanged, tmp_path)
    assert alone.passed and alone.impostors == 0 and alone.true_accepts_file is not None
    assert alone.false_accepts_file is None and alone.accuracy_file is None


@pytest.mark.parametrize("value", [np.nan, np.inf, 0.0])
def test_what_is_no_vector_fails(source, tmp_path, value):
    def broken(vectors):
        vectors = vectors.copy()
        vectors[3] = value
        return vectors

    loose = {"mean_cosine": 0, "length_difference": 1, "accuracy_change": 1, "false_accept_factor": 100}
    proof = certified(source, broken, tmp_path, quantize="int8", tolerance=loose)
    assert proof.failures == (f"1 of {len(source.images)} embeddings are not finite or all zeros",)


def test_an_embedder_that_collapsed_proves_nothing(tmp_path):
    image = keras.Input((SIZE, SIZE, 3))
    x = keras.layers.GlobalAveragePooling2D()(image)
    x = keras.layers.Dense(8, bias_initializer="ones")(keras.layers.Rescaling(1e-4)(x))
    images, _ = flags(range(4), each=2)
    collapsed = EmbeddingSource(
        keras.Model(image, keras.layers.UnitNormalization()(x)), Preprocessing(SIZE), images[:0], images
    )
    for kind in ("int8", "dynamic"):
        proof = certified(collapsed, unchanged, tmp_path, quantize=kind)
        assert proof.mean_cosine == pytest.approx(1) and not proof.passed
        assert "proves nothing: train it longer" in proof.failures[0]


def test_a_model_that_gives_no_vectors_is_told(tmp_path):
    image = keras.Input((SIZE, SIZE, 3))
    x = keras.layers.Dense(8, kernel_initializer="zeros")(keras.layers.GlobalAveragePooling2D()(image))
    images, _ = flags(range(2), each=2)
    dead = EmbeddingSource(keras.Model(image, x), Preprocessing(SIZE), images[:0], images)
    with pytest.raises(ExportError, match="The model itself gives 4 of 4 embeddings"):
        certified(dead, unchanged, tmp_path)


def test_another_shape_limits_and_other_kinds_of_certificates(source, tmp_path):
    with pytest.raises(ExportError, match="The file answers with the shape"):
        certified(source, lambda vectors: vectors[:, :-1], tmp_path)
    for tolerance in ({"recall": 0.9}, {"mean_cosine": 1.1}, {"false_accept_factor": 0.5}):
        with pytest.raises(ExportError, match="`tolerance` must map mean_cosine, least_cosine"):
            certified(source, unchanged, tmp_path, tolerance=tolerance)
    with pytest.raises(ExportError, match="not a certificate"):
        Certificate.from_dict(certified(source, unchanged, tmp_path).to_dict())
