"""ResNets (v1), ResNeXt, wide ResNets and plain networks for ImageNet.

- He et al., Deep Residual Learning for Image Recognition, 2015, https://arxiv.org/abs/1512.03385
- Xie et al., Aggregated Residual Transformations, 2016, https://arxiv.org/abs/1611.05431
- Zagoruyko and Komodakis, Wide Residual Networks, 2016, https://arxiv.org/abs/1605.07146

There are two forms. That of keras.applications has biases, and the stride of a bottleneck in its first 1x1
convolution; that of torchvision ("v1.5") has no biases, and the stride in the 3x3. Layer names are the same.
"""

from dataclasses import replace
from functools import partial

from kerasvision.models.residual_blocks import (
    INITIALIZERS,
    SHORTCUTS,
    Parts,
    Shortcut,
    added,
    basic,
    imagenet_stem,
    shortcut_of,
    stack,
)
from kerasvision.models.variants import choose, variant

FORMS = {
    "keras": Parts(biases=True, epsilon=1.001e-5, momentum=0.99, early_stride=True),
    "torchvision": Parts(),
}
WEIGHTS_URL = "https://storage.googleapis.com/tensorflow/keras-applications/resnet/"
# network -> MD5 of the weights file with the top, and without
DIGESTS = {
    "resnet50": ("2cb95161c43110f7111970584f804107", "4d473c1dd8becc155b73f8504c6f6626"),
    "resnet101": ("f1aeb4b969a6efcfb50fad2f0c20cfc5", "88cf7a10940856eca736dc7b7e228a21"),
    "resnet152": ("100835be76be38e30d865e96f2aaae62", "ee4c566cf9a93f14d82f913c2dc6dd0c"),
}
OPTIONS = {
    "form": '`"keras"` (biases, stride in the first 1x1 convolution, for images preprocessed in the "caffe" '
    'way: BGR, ImageNet mean subtracted) or `"torchvision"` (no biases, stride in the 3x3, for images '
    'preprocessed in the "torch" way: [0, 1], ImageNet mean and deviation).',
    "shortcut": '`"A"` (identity; where the form changes, every second pixel and channels of zeros), `"B"` '
    '(a 1x1 convolution where the form changes), `"C"` (always), or `None` (a plain network).',
    "initializer": 'of the convolutions: `"he_normal"` or `"glorot_uniform"`.',
    "batch_norm": "normalize after each convolution; without it, convolutions have biases.",
}


def bottleneck(
    parts: Parts,
    x,
    filters: int,
    *,
    stride: int = 1,
    shortcut: Shortcut,
    groups: int = 1,
    width: int = 64,
    name: str,
):
    """Add a branch of 1x1, 3x3 and 1x1 convolutions: (h, w, c) -> (h/stride, w/stride, 4*filters).

    The 3x3 convolution has `groups` groups of `filters * width / 64` channels.
    """
    kept = shortcut_of(parts, x, 4 * filters, stride=stride, shortcut=shortcut, name=name)
    inner = groups * (filters * width // 64)
    early, late = (stride, 1) if parts.early_stride else (1, stride)
    x = parts.unit(x, inner, 1, stride=early, name=f"{name}_1")
    x = parts.unit(x, inner, 3, stride=late, groups=groups, name=f"{name}_2")
    x = parts.norm(parts.conv(x, 4 * filters, 1, name=f"{name}_3"), name=f"{name}_3")
    return added(kept, x, name=name)


def residual(
    image,
    *,
    block,
    blocks: tuple[int, ...],
    form: str = "torchvision",
    shortcut: Shortcut = "B",
    initializer: str = "he_normal",
    batch_norm: bool = True,
):
    """Lay out a stem and four stages: (h, w, 3) -> (h/32, w/32, 512 or 2048)."""
    choose("form", form, tuple(FORMS))
    choose("shortcut", shortcut, SHORTCUTS)
    choose("initializer", initializer, INITIALIZERS)
    parts = replace(FORMS[form], initializer=initializer, batch_norm=batch_norm)
    block = partial(block, parts, shortcut=shortcut)
    x = imagenet_stem(parts, image)
    for index, (count, filters) in enumerate(zip(blocks, (64, 128, 256, 512), strict=True)):
        x = stack(x, block, filters, count, name=f"conv{index + 2}", stride=2 if index else 1)
    return x


def download(name: str, include_top: bool, *, form: str, **_) -> tuple[str, str, str] | None:
    """Return file name, URL and MD5 of the weights of keras.applications."""
    if form != "keras":
        return None
    ending, digest = ("", DIGESTS[name][0]) if include_top else ("_notop", DIGESTS[name][1])
    file = f"{name}_weights_tf_dim_ordering_tf_kernels{ending}.h5"
    return file, WEIGHTS_URL + file, digest


def network(function: str, name: str, title: str, block, blocks: tuple[int, ...], **settings):
    """Return the builder of a variant; with the defaults of keras.applications if it has its weights."""
    if name in DIGESTS:
        settings = {
            "form": "keras",
            "initializer": "glorot_uniform",
            "download": partial(download, name),
            **settings,
        }
    return variant(
        function,
        name,
        residual,
        summary=f"Build {title} for images of 224 pixels, or any size from 32.",
        native=224,
        minimum=32,
        options=OPTIONS,
        block=block,
        blocks=blocks,
        **{"source": "https://arxiv.org/abs/1512.03385", **settings},
    )


PlainNet18 = network("PlainNet18", "plainnet18", "PlainNet-18", basic, (2, 2, 2, 2), shortcut=None)
PlainNet34 = network("PlainNet34", "plainnet34", "PlainNet-34", basic, (3, 4, 6, 3), shortcut=None)
ResNet18 = network("ResNet18", "resnet18", "ResNet-18 (v1)", basic, (2, 2, 2, 2))
ResNet34 = network("ResNet34", "resnet34", "ResNet-34 (v1)", basic, (3, 4, 6, 3))
ResNet50 = network("ResNet50", "resnet50", "ResNet-50 (v1)", bottleneck, (3, 4, 6, 3))
ResNet101 = network("ResNet101", "resnet101", "ResNet-101 (v1)", bottleneck, (3, 4, 23, 3))
ResNet152 = network("ResNet152", "resnet152", "ResNet-152 (v1)", bottleneck, (3, 8, 36, 3))
ResNeXt50 = network(
    "ResNeXt50",
    "resnext50",
    "ResNeXt-50 (32 groups of 4)",
    partial(bottleneck, groups=32, width=4),
    (3, 4, 6, 3),
    source="https://arxiv.org/abs/1611.05431",
)
WideResNet50 = network(
    "WideResNet50",
    "wide_resnet50",
    "Wide ResNet-50-2",
    partial(bottleneck, width=128),
    (3, 4, 6, 3),
    source="https://arxiv.org/abs/1605.07146",
)
