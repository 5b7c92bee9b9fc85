"""Files that would fail on a phone, and what lint says of them."""

import numpy as np
import pytest
from export_helpers import SIZE, pictures

from kerasvision._litert import convert
from kerasvision.errors import ExportError
from kerasvision.export import lint
from kerasvision.export.metadata import add_classifier_metadata


def _converter(function, shape=(1, SIZE, SIZE, 3)):
    import tensorflow as tf

    concrete = tf.function(function).get_concrete_function(tf.TensorSpec(shape, tf.float32, name="image"))
    return tf.lite.TFLiteConverter.from_concrete_functions([concrete])


def _flex(model):
    import tensorflow as tf

    converter = _converter(lambda x: tf.math.real(tf.signal.fft2d(tf.cast(x, tf.complex64))) + 1.0)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.SELECT_TF_OPS]
    return converter.convert()


def _custom(model):
    import tensorflow as tf

    converter = _converter(lambda x: tf.math.igamma(x, x) + 1.0)
    converter.allow_custom_ops = True
    return converter.convert()


def _open_batch(model):
    return _converter(lambda x: model(x, training=False), (None, SIZE, SIZE, 3)).convert()


def _quantised(model, input_type, calibration):
    import tensorflow as tf

    converter = _converter(lambda x: model(x, training=False))
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([image[None].astype("float32")] for image in calibration)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = input_type
    return converter.convert()


def _int8_input(model):
    import tensorflow as tf

    return _quantised(model, tf.int8, pictures(4, seed=0)[0])


def _narrow_calibration(model):
    import tensorflow as tf

    return _quantised(model, tf.uint8, pictures(4, seed=0)[0] // 2)


def _lost_weights(model):
    import tensorflow as tf

    spec = tf.TensorSpec((1, SIZE, SIZE, 3), tf.float32)
    concrete = tf.function(lambda x: model(x, training=False)).get_concrete_function(spec)
    return tf.lite.TFLiteConverter.from_concrete_functions([concrete], model).convert()


def _no_weights(model):
    import tensorflow as tf

    return _converter(lambda x: tf.nn.relu(x)).convert()


def _too_few_labels(model):
    data = convert(model, output_names=["probabilities"])
    return add_classifier_metadata(data, name="m", description="", labels=["one", "two"])


@pytest.mark.parametrize(
    "make, message",
    [
        (_flex, "needs the Flex delegate for .*FlexFFT2D"),
        (_custom, "needs custom operations: Igamma"),
        (_open_batch, "has open sizes: "),
        (_int8_input, "takes int8; MediaPipe takes uint8"),
        (_narrow_calibration, "scale 0.4.* instead of 1 and 0"),
        (_lost_weights, "keeps weights in variables"),
        (_no_weights, "holds no weights"),
        (_too_few_labels, "has 2 labels for 3 outputs"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_problem_is_found(model, tmp_path, make, message):
    file = tmp_path / "m.tflite"
    file.write_bytes(make(model))
    found = lint(file)
    assert len(found.problems) >= 1
    with pytest.raises(ExportError, match=message):
        raise ExportError("; ".join(found.problems))
    assert "PROBLEM" in str(found)


def test_a_file_without_metadata_and_signature_is_remarked(model, tmp_path):
    file = tmp_path / "m.tflite"
    file.write_bytes(_converter(lambda x: model(x, training=False)).convert())
    found = lint(file)
    assert not found.problems
    assert any("no metadata" in remark for remark in found.remarks)
    assert any("no signature" in remark for remark in found.remarks)


def test_a_sound_file_is_shown_as_a_table(exported):
    file = exported["int8"].path
    found = lint(file)
    text = str(found)
    for part in ("int8.tflite", "1 x 32 x 32 x 3 uint8, scale 1, zero point 0", "CONV_2D", "labels      3"):
        assert part in text
    assert "PROBLEM" not in text
    assert found.size == file.stat().st_size
    assert found.weights["int8"] > found.weights["float32"]


def test_operations_that_stay_float_are_remarked(tmp_path):
    import keras

    image = keras.Input((SIZE, SIZE, 3), name="image")
    x = keras.layers.Conv2D(8, 3)(image)
    x = keras.layers.Lambda(lambda v: keras.ops.cos(keras.ops.sin(v)))(x)
    x = keras.layers.Conv2D(8, 3)(x)
    net = keras.Model(image, keras.layers.Dense(3, activation="softmax")(keras.layers.Flatten()(x)))
    file = tmp_path / "m.tflite"
    file.write_bytes(convert(net, quantize="int8", calibration=pictures(3, seed=0)[0]))
    assert any("stay float" in remark for remark in lint(file).remarks)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 a zip", np.zeros(100, np.uint8).tobytes()], ids=len)
def test_other_files_are_refused(tmp_path, content):
    file = tmp_path / "other.tflite"
    file.write_bytes(content)
    with pytest.raises(ExportError, match="other.tflite is not a TFLite file"):
        lint(file)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ExportError, match="Cannot read .*none.tflite"):
        lint(tmp_path / "none.tflite")
