"""Conversion and the interpreter: names, types, weights, batches, and what must not happen silently."""

import numpy as np
import pytest
from export_helpers import SIZE, build_model, pictures

from kerasvision._litert import LiteRTModel, _check_file, convert, pin_range, rehearse
from kerasvision._tflite_file import describe, with_names
from kerasvision.errors import ExportError


@pytest.fixture(scope="module")
def images():
    return pictures(11, seed=5)[0]


def test_the_file_has_names_a_signature_and_the_models_answers(model, images):
    data = convert(model, output_names=["probabilities"])
    found = describe(data)
    assert found.inputs["image"].shape == (1, SIZE, SIZE, 3)
    assert found.outputs["probabilities"].shape == (1, 3)
    assert found.signatures == ("serving_default",)
    assert not found.custom
    assert not found.open_shapes
    from ai_edge_litert.interpreter import Interpreter

    runner = Interpreter(model_content=data).get_signature_runner("serving_default")
    answer = runner(image=images[:1].astype(np.float32))["probabilities"]
    np.testing.assert_allclose(answer, model.predict(images[:1].astype("float32"), verbose=0), atol=1e-6)


@pytest.mark.parametrize("batch", [1, 4, 8])
def test_any_number_of_images_is_filled_up_to_the_batch(model, images, batch):
    run = LiteRTModel(convert(model, batch=batch))
    assert run.batch == batch
    expected = model.predict(images.astype("float32"), verbose=0)
    np.testing.assert_allclose(run(images)["predictions"], expected, atol=1e-6)
    assert run(images[:0])["predictions"].shape == (0, 3)


def test_side_by_side_gives_the_same_answers_in_the_same_order(model):
    content = convert(model, batch=2)
    one, several = LiteRTModel(content, threads=1), LiteRTModel(content, threads=3, side_by_side=True)
    assert len(several._opened) == 3
    size = next(iter(one.inputs.values())).shape[1:]
    images = np.random.default_rng(0).integers(0, 256, (19, *size), np.uint8)
    for count in (0, 1, 2, 5, 19):
        (wanted,), (found,) = one(images[:count]).values(), several(images[:count]).values()
        np.testing.assert_array_equal(found, wanted)


def test_an_open_batch_is_run_too(model, images, tmp_path):
    file = tmp_path / "open.tflite"
    file.write_bytes(_plain_conversion(model, batch=None))
    expected = model.predict(images.astype("float32"), verbose=0)
    (answers,) = LiteRTModel(file)(images).values()
    np.testing.assert_allclose(answers, expected, atol=1e-6)


def test_a_function_and_a_model_of_several_outputs_keep_their_names(model, images):
    import keras

    taps = keras.Model(model.input, {"b": model.output, "a": model.get_layer("head_pool").output})
    expected = taps(images.astype("float32"))
    for thing, options in ((taps, {}), (lambda x: taps(x), {"input_shape": (SIZE, SIZE, 3)})):
        found = LiteRTModel(convert(thing, **options))(images)
        assert set(found) == {"a", "b"}
        for name in found:
            np.testing.assert_allclose(found[name], expected[name], atol=1e-5)
    listed = keras.Model(model.input, [model.output, model.get_layer("head_pool").output])
    found = LiteRTModel(convert(listed, output_names=["z", "c"]))(images)
    np.testing.assert_allclose(found["z"], expected["b"], atol=1e-5)
    np.testing.assert_allclose(found["c"], expected["a"], atol=1e-5)


def test_float_files_take_bytes_when_asked(model, images):
    run = LiteRTModel(convert(model, input_type="uint8"))
    assert run.inputs["image"].dtype == "uint8"
    expected = model.predict(images.astype("float32"), verbose=0)
    np.testing.assert_allclose(run(images)["predictions"], expected, atol=1e-6)


@pytest.mark.parametrize("low, high", [(20, 200), (90, 100), (0, 255), (255, 256)])
def test_the_int8_input_has_scale_1_whatever_the_calibration_pictures(model, low, high):
    grey = np.random.default_rng(0).integers(low, high, (4, SIZE, SIZE, 3), dtype=np.int64).astype(np.uint8)
    before = grey.copy()
    run = LiteRTModel(convert(model, quantize="int8", calibration=grey))
    info = run.inputs["image"]
    assert (info.dtype, info.scale, info.zero_point) == ("uint8", 1.0, 0)
    np.testing.assert_array_equal(grey, before)


def test_a_file_that_a_phone_would_feed_wrongly_is_refused(model, monkeypatch):
    calibration = pictures(4, seed=0)[0]
    monkeypatch.setattr("kerasvision._litert.pin_range", lambda images: images)
    with pytest.raises(ExportError, match="scale 0.*instead of 1 and 0"):
        convert(model, quantize="int8", calibration=calibration // 2)


def test_outputs_may_be_bytes_and_are_scaled_back(model, images):
    calibration = pictures(30, seed=3)[0]
    whole = LiteRTModel(convert(model, quantize="int8", calibration=calibration))
    small = LiteRTModel(convert(model, quantize="int8", calibration=calibration, output_type="uint8"))
    info = small.outputs["predictions"]
    assert (info.dtype, info.scale, info.zero_point) == ("uint8", 1 / 256, 0)
    np.testing.assert_allclose(small(images)["predictions"], whole(images)["predictions"], atol=1e-6)


@pytest.mark.parametrize(
    "pixels, expected",
    [
        ([10, 20, 30, 40], [0, 20, 30, 255]),
        ([7, 7, 7, 7], [0, 255, 7, 7]),
        ([0, 255, 3, 4], [0, 255, 3, 4]),
        ([255, 255, 0, 0], [255, 255, 0, 0]),
    ],
)
def test_pinning_touches_two_values(pixels, expected):
    image = np.array(pixels, np.uint8).reshape(1, 2, 2, 1)
    assert pin_range(image).ravel().tolist() == expected


def test_a_conversion_that_loses_the_weights_is_noticed(model):
    import tensorflow as tf

    spec = tf.TensorSpec((1, SIZE, SIZE, 3), tf.float32, name="image")
    function = tf.function(lambda image: model(image, training=False)).get_concrete_function(spec)
    # This is how one loses them: the object is given, but its Keras variables are not seen.
    lost = tf.lite.TFLiteConverter.from_concrete_functions([function], model).convert()
    with pytest.raises(ExportError, match="self-contained|lost them"):
        _check_file(with_names(lost, ["probabilities"]), function.graph.variables, "float32", None)


def _fourier_model():
    import keras
    import tensorflow as tf

    class Fourier(keras.layers.Layer):
        def call(self, x):
            return tf.math.real(tf.signal.fft2d(tf.cast(x, tf.complex64)))

    image = keras.Input((16, 16, 3))
    x = keras.layers.GlobalAveragePooling2D()(Fourier(name="fourier")(image))
    return keras.Model(image, keras.layers.Dense(2, activation="softmax")(x))


def test_an_operation_without_a_counterpart_is_named_before_and_in_the_conversion(capfd):
    net = _fourier_model()
    for attempt in (rehearse, convert):
        with pytest.raises(ExportError, match=r"FFT2D \(in .*fourier.*\)"):
            attempt(net)
    assert "FFT2D" not in capfd.readouterr().err


def test_a_rehearsal_finds_the_operations_of_the_real_conversion(model):
    assert rehearse(model) == describe(convert(model)).operations


def test_a_rehearsal_leaves_the_weights_alone():
    net = build_model()
    before = [weight.copy() for weight in net.get_weights()]
    rehearse(net)
    for old, new in zip(before, net.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"quantize": "int4"}, "`quantize` must be"),
        ({"quantize": "int8"}, "needs `calibration`"),
        (
            {"quantize": "int8", "calibration": np.zeros((2, SIZE, SIZE, 3), np.float32)},
            "must be uint8 images",
        ),
        ({"input_type": "int8"}, "`input_type` must be"),
        ({"output_type": "uint8"}, "needs `quantize"),
        ({"input_shape": (8, 8, 3)}, "must fit the model"),
        ({"output_names": ["a", "b"]}, "`output_names` must hold 1"),
    ],
)
def test_wrong_arguments_are_told(model, options, message):
    with pytest.raises(ExportError, match=message):
        convert(model, **options)


def test_a_function_needs_its_input_shape():
    with pytest.raises(ExportError, match="`input_shape` must be stated"):
        convert(lambda image: image)


@pytest.mark.parametrize("content", [b"", b"no TFLite", b"\x1c\0\0\0TFL3" + b"\xff" * 40], ids=len)
def test_damaged_files_are_named(tmp_path, content):
    file = tmp_path / "broken.tflite"
    file.write_bytes(content)
    with pytest.raises(ExportError, match="broken.tflite"):
        LiteRTModel(file)


def test_a_truncated_file_is_refused(model, tmp_path):
    file = tmp_path / "half.tflite"
    file.write_bytes(convert(model)[:-2000])
    with pytest.raises(ExportError, match="half.tflite"):
        LiteRTModel(file)


def test_images_of_another_size_are_refused(model):
    with pytest.raises(ValueError, match=r"must have the shape \(n, 32, 32, 3\)"):
        LiteRTModel(convert(model))(np.zeros((1, 16, 16, 3), np.uint8))


def test_images_are_asked_for_by_input(model, images):
    run = LiteRTModel(convert(model))
    np.testing.assert_array_equal(run({"image": images})["predictions"], run(images)["predictions"])
    with pytest.raises(ValueError, match=r"for each of \['image'\]. Received: \['photo'\]"):
        run({"photo": images})


def test_calibration_is_asked_for_by_input():
    import keras

    pair = [keras.Input((4, 4, 3), name=name) for name in ("first", "second")]
    model = keras.Model(pair, keras.layers.Flatten()(keras.layers.Subtract()(pair)))
    images = np.zeros((2, 4, 4, 3), np.uint8)
    for calibration in (images, {"first": images}):
        with pytest.raises(ExportError, match=r"for each of \['first', 'second'\]. Received: "):
            convert(model, quantize="int8", calibration=calibration)


def _plain_conversion(model, batch):
    import tensorflow as tf

    spec = tf.TensorSpec((batch, SIZE, SIZE, 3), tf.float32)
    function = tf.function(lambda image: model(image, training=False)).get_concrete_function(spec)
    return tf.lite.TFLiteConverter.from_concrete_functions([function]).convert()
