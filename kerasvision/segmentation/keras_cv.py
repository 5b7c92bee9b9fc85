"""SegFormer: the transformer of keras-cv and its head; the only file of segmentation that touches keras-cv.

Its layers tell how they are made (kind, width, initializer); the graph is flat and made of Keras' own layers
and operations, so that a saved segmenter loads without keras-cv. Three things are done otherwise, and are the
same in value: maps keep their rows and columns, so that images need not be square; the head joins maps before
it enlarges them; and a dropped path is a Dropout over whole examples.

Xie et al., SegFormer, 2021, https://arxiv.org/abs/2105.15203
"""

from types import SimpleNamespace

import keras
import numpy as np
from keras import layers, ops

from kerasvision.errors import KerasvisionError
from kerasvision.models import graph
from kerasvision.segmentation.building import HEAD
from kerasvision.segmentation.decoding import enlarge, image_size, normalize, score, whole_maps

# Blocks and channels of the four stages, and filters of the head: tables 6 and 7 of the paper. keras-cv's
# presets have the same stages and 256 filters in all heads.
SIZES = {
    "b0": ((2, 2, 2, 2), (32, 64, 160, 256), 256),
    "b1": ((2, 2, 2, 2), (64, 128, 320, 512), 256),
    "b2": ((3, 4, 6, 3), (64, 128, 320, 512), 768),
    "b3": ((3, 4, 18, 3), (64, 128, 320, 512), 768),
    "b4": ((3, 8, 27, 3), (64, 128, 320, 512), 768),
    "b5": ((3, 6, 40, 3), (64, 128, 320, 512), 768),
}
# The same for all sizes, by stage: heads of the attention, and the side of the patches that are one key.
HEADS, RATIOS = (1, 2, 5, 8), (8, 4, 2, 1)
DROPPED = 0.1  # share of examples that the last block leaves out in training; it grows from 0 at the first
REDUCTIONS = ("paper", "keras_cv")


def segformer(backbone: keras.Model, classes: int, *, size: str, filters: int | None = None, dropout=0.1):
    """Lay out the head of SegFormer on maps of any backbone.

    Args:
        backbone: flat model from `image` to its last feature maps, with maps at strides 4 to 32.
        classes: number of classes.
        size: one of `SIZES`.
        filters: of the head; default: those of the size.
        dropout: before the scores.

    Returns:
        Logits (b, h, w, classes).
    """
    maps = list(whole_maps(backbone, (2, 3, 4, 5)).values())
    return all_linear_head(maps, classes, image_size(backbone), filters or SIZES[size][2], dropout)


def mix_segformer(
    pixels: keras.Model,
    classes: int,
    *,
    size: str,
    filters: int | None = None,
    dropout: float = 0.1,
    reduction: str = "paper",
):
    """Lay out SegFormer on its own backbone, the Mix Transformer.

    Args:
        pixels: model from `image` to preprocessed pixels.
        classes: number of classes.
        size: one of `SIZES`.
        filters: of the head; default: those of the size.
        dropout: before the scores.
        reduction: how keys and values are made fewer: `"paper"`: by a convolution over patches of the map;
            `"keras_cv"`: keras-cv 0.9 takes the numbers of the map in another order there, so that patches
            hold channels of far places. Only for weights that were trained so, and square images.

    Returns:
        Logits (b, h, w, classes).
    """
    if reduction not in REDUCTIONS:
        raise KerasvisionError(f"`reduction` must be one of {REDUCTIONS}. Received: {reduction!r}.")
    maps = mix_transformer(pixels.outputs[0], size=size, reduction=reduction)
    return all_linear_head(maps, classes, image_size(pixels), filters or SIZES[size][2], dropout)


def all_linear_head(maps: list, classes: int, size: tuple[int, int], filters: int, dropout: float):
    """Bring maps to `filters` channels each, join them at the size of the first, and score them.

    The paper enlarges all maps, puts them one behind the other, and convolves by 1x1. Each map is convolved
    first here, by its part of the kernel, and they are added: the same sum, but three quarters of the work
    are done on small maps.

    Args:
        maps: (b, h, w, c) each, from fine to coarse.
        classes: number of classes.
        size: (height, width) of the image.
        filters: number of channels in the head.
        dropout: before the scores.

    Returns:
        Logits (b, *size, classes).
    """
    joined = []
    for level, x in enumerate(maps, 2):
        x = layers.Dense(filters, name=f"{HEAD}linear_{level}")(x)
        x = layers.Conv2D(filters, 1, use_bias=False, name=f"{HEAD}fuse_{level}")(x)
        joined.append(enlarge(x, maps[0].shape[1:3], name=f"fuse_{level}_up"))
    x = normalize(layers.Add(name=f"{HEAD}fuse")(joined), name=f"{HEAD}fuse")
    x = layers.Dropout(dropout, name=f"{HEAD}dropout")(x)
    return score(x, classes, size)


def mix_transformer(x, *, size: str, reduction: str = "paper") -> list:
    """Lay out a Mix Transformer flat, with layers as those of keras-cv.

    Args:
        x: pixels (b, h, w, 3) with sides that are multiples of 32.
        size: one of `SIZES`.
        reduction: as for `mix_segformer`.

    Returns:
        Maps at strides 4, 8, 16 and 32.
    """
    depths, widths, _ = SIZES[size]
    library, maps = _library(), []
    rates = iter(np.linspace(0, DROPPED, sum(depths)).tolist())
    for stage, (depth, width, heads, ratio) in enumerate(zip(depths, widths, HEADS, RATIOS, strict=True), 1):
        patch, stride = (7, 4) if stage == 1 else (3, 2)
        patches = library.OverlappingPatchingAndEmbedding(width, patch, stride)
        x = graph.copy_layer(patches.proj, name=f"stage{stage}_patch_conv")(x)
        x = graph.copy_layer(patches.norm, name=f"stage{stage}_patch_norm")(x)
        for number, rate in zip(range(1, depth + 1), rates, strict=False):
            block = library.HierarchicalTransformerEncoder(width, heads, ratio, drop_prob=rate)
            x = _block(block, x, reduction, name=f"stage{stage}_block{number}")
        x = layers.LayerNormalization(name=f"stage{stage}_norm")(x)
        maps.append(x)
    return maps


def _block(parts, x, reduction: str, *, name: str):
    """Add to a map what its places learn from each other, then what each makes of it and its neighbours."""
    y = graph.copy_layer(parts.norm1, name=f"{name}_norm1")(x)
    x = _add(x, _attend(parts.attn, y, reduction, name=f"{name}_attention"), parts, name=f"{name}_attended")
    y = graph.copy_layer(parts.norm2, name=f"{name}_norm2")(x)
    y = graph.copy_layer(parts.mlp.fc1, name=f"{name}_mlp_fc1")(y)
    y = graph.copy_layer(parts.mlp.dwconv, name=f"{name}_mlp_depthwise")(y)
    y = ops.gelu(y, approximate=True)
    y = graph.copy_layer(parts.mlp.fc2, name=f"{name}_mlp_fc2")(y)
    return _add(x, y, parts, name=f"{name}_out")


def _add(x, y, parts, *, name: str):
    """Add a branch, which training leaves out for some examples."""
    if parts.drop_path.rate:
        y = layers.Dropout(parts.drop_path.rate, noise_shape=(None, 1, 1, 1), name=f"{name}_drop")(y)
    return layers.Add(name=name)([x, y])


def _attend(parts, x, reduction: str, *, name: str):
    """Let each place of a map look at all of it, at a coarser one made of it: (b, h, w, c) -> the same."""
    heads, shape = parts.num_heads, x.shape[1:]

    def split(dense, x, order, kind):
        x = graph.copy_layer(dense, name=f"{name}_{kind}")(x)
        x = layers.Reshape((-1, heads, shape[-1] // heads), name=f"{name}_{kind}_heads")(x)
        return layers.Permute(order, name=f"{name}_{kind}_order")(x)

    query = split(parts.q, x, (2, 1, 3), "query")
    if parts.sr_ratio > 1:
        x = _reduce(parts, x, reduction, name=f"{name}_reduce")
    key, value = split(parts.k, x, (2, 3, 1), "key"), split(parts.v, x, (2, 1, 3), "value")
    # In float32 also under mixed precision: sums of exponentials over thousands of places.
    shares = layers.Softmax(dtype="float32", name=f"{name}_shares")(ops.matmul(query * parts.scale, key))
    if shares.dtype != value.dtype:
        shares = ops.cast(shares, value.dtype)
    x = layers.Permute((2, 1, 3), name=f"{name}_order")(ops.matmul(shares, value))
    x = layers.Reshape(shape, name=f"{name}_join")(x)
    return graph.copy_layer(parts.proj, name=f"{name}_project")(x)


def _reduce(parts, x, reduction: str, *, name: str):
    """Make a map coarser by a convolution over patches that do not overlap."""
    shape = x.shape[1:]
    if reduction == "keras_cv":
        x = layers.Reshape((-1, shape[-1]), name=f"{name}_row")(x)
        x = layers.Reshape(shape, name=f"{name}_mixed")(layers.Permute((2, 1), name=f"{name}_turned")(x))
    x = graph.copy_layer(parts.sr, name=f"{name}_conv")(x)
    if reduction == "keras_cv":
        x = layers.Reshape((shape[-1], -1), name=f"{name}_rows")(x)
        x = layers.Permute((2, 1), name=f"{name}_back")(x)
    return graph.copy_layer(parts.norm, name=f"{name}_norm")(x)


def _library() -> SimpleNamespace:
    """Return keras-cv's parts, imported when used: it takes seconds, and other segmenters don't need it."""
    from keras_cv.layers import HierarchicalTransformerEncoder, OverlappingPatchingAndEmbedding

    return SimpleNamespace(
        HierarchicalTransformerEncoder=HierarchicalTransformerEncoder,
        OverlappingPatchingAndEmbedding=OverlappingPatchingAndEmbedding,
    )
