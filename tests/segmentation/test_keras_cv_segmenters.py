"""DeepLabV3+ and SegFormer against keras-cv's, on the same weights."""

import subprocess
import sys
import warnings

import keras
import numpy as np
import pytest
from keras import layers
from small_segmenters import labeller, small_backbone, training_step
from test_learning import pictures

from kerasvision.errors import KerasvisionError
from kerasvision.metrics import mean_iou
from kerasvision.models import graph
from kerasvision.segmentation import backbone_layers, segmenter

SIDE, CLASSES = 96, 5


def library():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import keras_cv
    return keras_cv


def shake(model, rng):
    """Give every weight a value of its own, so that none can be left out or taken for another one."""
    for weight in model.weights:
        if "variance" in weight.path or "gamma" in weight.path:
            weight.assign(rng.uniform(0.5, 1.5, weight.shape))
        elif "seed" not in weight.path:
            fan = max(1, int(np.prod(weight.shape[:-1])))
            weight.assign(rng.normal(0, 1 / np.sqrt(fan) if len(weight.shape) > 1 else 0.3, weight.shape))
    return model


def with_weights(sequential):
    return [layer for layer in sequential.layers if layer.weights]


def patches_of_noise(rng, height=SIDE, width=SIDE):
    """Return two images, (2, height, width, 3), of squares of 16 pixels of any colour."""
    squares = rng.uniform(0, 255, (2, height // 16, width // 16, 3)).astype(np.float32)
    return squares.repeat(16, 1).repeat(16, 2)


def deeplab_pairs(ours, theirs):
    """Yield our layers after the backbone, and those of keras-cv."""
    pooling = theirs.spatial_pyramid_pooling
    (low,) = [
        layer
        for layer in theirs.layers
        if isinstance(layer, keras.Sequential) and layer is not theirs.segmentation_head
    ]
    names = [*(f"aspp_{number}" for number in range(4)), "aspp_mean", "aspp_project", "low_level"]
    for name, part in zip(names, [*pooling.aspp_parallel_channels, pooling.projection, low], strict=True):
        for kind, layer in zip(("conv", "bn"), with_weights(part), strict=True):
            yield ours.get_layer(f"head_{name}_{kind}"), layer
    conv, norm, _ = with_weights(theirs.segmentation_head)
    yield ours.get_layer("head_decode_1_conv"), conv
    yield ours.get_layer("head_decode_1_bn"), norm


def test_deeplab_is_that_of_keras_cv(rng):
    backbone = library().models.ResNetBackbone(
        stackwise_filters=[64, 64, 64, 64],
        stackwise_blocks=[1, 1, 1, 1],
        stackwise_strides=[1, 2, 2, 2],
        include_rescaling=True,
        block_type="basic_block",
        input_shape=(SIDE, SIDE, 3),
    )
    theirs = shake(library().models.DeepLabV3Plus(backbone, CLASSES), rng)
    ours = segmenter(
        "deeplab_v3_plus",
        classes=CLASSES,
        image_size=SIDE,
        backbone=backbone,
        preprocessing="included",
        decoder="keras_cv",
        separable=False,
        output_stride=32,
        rates=(6, 12, 18),
        dropout=0.0,
    )
    for layer, other in deeplab_pairs(ours, theirs):
        graph.assign(layer, other)
    kernel = theirs.segmentation_head.layers[-1].kernel
    ours.get_layer("head_score").set_weights([kernel, np.zeros(CLASSES)])  # keras-cv's last layer has no bias
    assert ours.count_params() == theirs.count_params() + CLASSES
    image = patches_of_noise(rng)
    wanted = theirs(image, training=False).numpy()
    assert wanted.std((0, 1, 2)).min() > 0.003
    np.testing.assert_allclose(keras.ops.softmax(ours(image, training=False)), wanted, atol=1e-5)


def transformer_layers(theirs):
    """Yield the layers of keras-cv's transformer that have weights, in the order of ours."""
    norms = [layer for layer in theirs.layers if isinstance(layer, layers.LayerNormalization)]
    for stage, norm in enumerate(norms):
        patches = theirs.get_layer(f"patch_and_embed_{stage}")
        yield from (patches.proj, patches.norm)
        for number in range(theirs.depths[stage]):
            block = theirs.get_layer(f"hierarchical_encoder_{stage}_{number}")
            attention, mlp = block.attn, block.mlp
            yield from (block.norm1, attention.q)
            if attention.sr_ratio > 1:
                yield from (attention.sr, attention.norm)
            yield from (attention.k, attention.v, attention.proj)
            yield from (block.norm2, mlp.fc1, mlp.dwconv, mlp.fc2)
        yield norm


def transformer_names(depths):
    """Return the names of our layers with weights in this order."""
    names = []
    for stage, depth in enumerate(depths, 1):
        names += [f"stage{stage}_patch_conv", f"stage{stage}_patch_norm"]
        reduce = ["attention_reduce_conv", "attention_reduce_norm"] if stage < 4 else []
        for number in range(1, depth + 1):
            attention = ["attention_query", *reduce, "attention_key", "attention_value", "attention_project"]
            kinds = ["norm1", *attention, "norm2", "mlp_fc1", "mlp_depthwise", "mlp_fc2"]
            names += [f"stage{stage}_block{number}_{kind}" for kind in kinds]
        names.append(f"stage{stage}_norm")
    return names


def copy_segformer(ours, theirs):
    """Give our SegFormer the weights of keras-cv's."""
    names = transformer_names(theirs.backbone.depths)
    assert set(names) == {name for name in backbone_layers(ours) if ours.get_layer(name).weights}
    for name, layer in zip(names, transformer_layers(theirs.backbone), strict=True):
        graph.assign(ours.get_layer(name), layer)
    for level, width in enumerate(theirs.backbone.embedding_dims, 2):
        graph.assign(ours.get_layer(f"head_linear_{level}"), theirs.get_layer(f"linear_{width}"))
    (fuse,) = [layer for layer in theirs.layers if isinstance(layer, keras.Sequential)]
    conv, norm = with_weights(fuse)
    for level, part in zip((5, 4, 3, 2), np.split(conv.get_weights()[0], 4, axis=2), strict=True):
        ours.get_layer(f"head_fuse_{level}").set_weights([part])
    graph.assign(ours.get_layer("head_fuse_bn"), norm)
    (last,) = [layer for layer in theirs.layers if isinstance(layer, layers.Conv2D)]
    graph.assign(ours.get_layer("head_score"), last)


@pytest.fixture(scope="module")
def segformer_of_keras_cv():
    backbone = library().models.MiTBackbone(
        include_rescaling=True,
        depths=(2, 2, 2, 2),
        embedding_dims=(32, 64, 160, 256),
        input_shape=(SIDE, SIDE, 3),
    )
    return shake(library().models.SegFormer(backbone, CLASSES), np.random.default_rng(8))


def test_segformer_is_that_of_keras_cv(segformer_of_keras_cv, rng):
    theirs = segformer_of_keras_cv
    for reduction in ("keras_cv", "paper"):
        ours = segmenter("segformer_b0", classes=CLASSES, image_size=SIDE, reduction=reduction)
        assert ours.count_params() == theirs.count_params()
        copy_segformer(ours, theirs)
        # keras-cv scores, takes the softmax and enlarges that; ours are logits at the size of the image.
        image = patches_of_noise(rng)
        small = keras.Model(theirs.input, theirs.layers[-2].output)(image, training=False)
        scores = keras.Model(ours.input, ours.get_layer("head_score").output)(image, training=False)
        difference = np.abs(keras.ops.softmax(scores) - small).max()
        assert np.std(small, (0, 1, 2)).min() > 0.01
        # keras-cv takes the numbers of a map in another order before it makes keys fewer.
        assert difference < 1e-5 if reduction == "keras_cv" else difference > 0.01


def slow_reduction(x, kernel, bias):
    """Convolve patches that do not overlap, one at a time."""
    ratio, (rows, columns) = kernel.shape[0], x.shape[:2]
    return np.array(
        [
            [
                np.einsum("ijc,ijcd->d", x[i : i + ratio, j : j + ratio], kernel) + bias
                for j in range(0, columns, ratio)
            ]
            for i in range(0, rows, ratio)
        ]
    )


def slow_attention(ours, block, x, heads, ratio):
    """Let every place look at every patch, head by head and place by place: (h, w, c) -> the same."""

    def weights(kind):
        return ours.get_layer(f"{block}_attention_{kind}").get_weights()

    def dense(kind, x):
        kernel, bias = weights(kind)
        return x @ kernel + bias

    fewer = x
    if ratio > 1:
        fewer = slow_reduction(x, *weights("reduce_conv"))
        gamma, beta = weights("reduce_norm")
        mean, variance = fewer.mean(-1, keepdims=True), fewer.var(-1, keepdims=True)
        fewer = (fewer - mean) / np.sqrt(variance + 1e-3) * gamma + beta
    channels = x.shape[-1]
    places, patches = x.reshape(-1, channels), fewer.reshape(-1, channels)
    query, key, value = dense("query", places), dense("key", patches), dense("value", patches)
    out, width = np.zeros_like(query), channels // heads
    for head in range(heads):
        part = slice(head * width, (head + 1) * width)
        for place in range(len(out)):
            logits = key[:, part] @ query[place, part] / np.sqrt(width)
            shares = np.exp(logits - logits.max())
            out[place, part] = shares / shares.sum() @ value[:, part]
    return dense("project", out).reshape(x.shape)


@pytest.mark.parametrize(("block", "heads", "ratio"), [("stage2_block1", 2, 4), ("stage4_block2", 8, 1)])
def test_attention_is_that_of_the_paper_on_images_that_are_not_square(block, heads, ratio, rng):
    model = shake(segmenter("segformer_b0", classes=3, image_size=(32, 64)), rng)
    before = model.get_layer(f"{block}_norm1").output
    after = model.get_layer(f"{block}_attention_project").output
    image = patches_of_noise(rng, 32, 64)
    x, found = keras.Model(model.input, [before, after])(image, training=False)
    wanted = slow_attention(model, block, np.float64(x[0]), heads, ratio)
    assert wanted.std() > 0.01
    np.testing.assert_allclose(found[0], wanted, atol=2e-5 * np.abs(wanted).max())


def test_training_leaves_out_branches_of_whole_examples():
    model = segmenter("segformer_b0", classes=3, image_size=32)
    drops = [layer for layer in model.layers if layer.name.endswith("_drop")]
    rates = np.repeat(np.linspace(0, 0.1, 8)[1:], 2)
    np.testing.assert_allclose([layer.rate for layer in drops], rates)
    dropped = drops[-1](np.ones((400, 2, 2, 3), np.float32), training=True).numpy()
    assert set(np.unique(dropped.round(4))) == {0.0, np.float32(1 / 0.9).round(4)}
    assert (dropped == dropped[:, :1, :1, :1]).all() and 0.03 < (dropped == 0).mean() < 0.2


@pytest.mark.parametrize("backbone", ["mobilenet_v2", "resnet18"])
def test_head_of_segformer_on_another_backbone(backbone):
    model = segmenter("segformer_b0", classes=3, image_size=(64, 96), backbone=backbone, filters=32)
    assert model.output_shape == (None, 64, 96, 3)
    assert not any(name.startswith("stage1_patch") for name in backbone_layers(model))


def test_head_of_segformer_learns_eight_pictures_by_heart():
    """The whole network does so in a slow test of all segmenters."""
    keras.utils.set_random_seed(1)
    images, maps = pictures(64)
    model = segmenter(
        "segformer_b0",
        classes=4,
        image_size=64,
        backbone=small_backbone(),
        preprocessing="zero_one",
        filters=64,
        dropout=0.0,
    )
    step, answer = training_step(model, keras.optimizers.Adam(3e-3)), labeller(model)
    for _ in range(12):
        for _ in range(30):
            step(images, maps)
        if mean_iou(maps, answer(images), 4) > 0.95:
            break
    assert mean_iou(maps, answer(images), 4) > 0.95


def test_reduction_that_there_is_not():
    with pytest.raises(KerasvisionError, match="`reduction` must be one of.*mean"):
        segmenter("segformer_b0", classes=3, image_size=64, reduction="mean")


def test_saved_file_loads_without_keras_cv_which_other_segmenters_do_without_too(tmp_path):
    path = tmp_path / "model.keras"
    segmenter("segformer_b0", classes=3, image_size=32).save(path)
    script = (
        f"import sys, keras; keras.saving.load_model({str(path)!r})\n"
        "assert not {'kerasvision', 'keras_cv'} & set(sys.modules)\n"
        "from kerasvision.segmentation import segmenter, segmenter_table\n"
        "segmenter_table(); segmenter('deeplab_v3_plus', classes=2, image_size=32, backbone='resnet18')\n"
        "assert 'keras_cv' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
