"""Pre-activation ResNets for ImageNet: those of keras.applications, and the two of two-convolution blocks.

He et al., Identity Mappings in Deep Residual Networks, 2016, https://arxiv.org/abs/1603.05027
"""

from functools import partial

from keras import layers

from kerasvision.models.residual_blocks import (
    INITIALIZERS,
    SHORTCUTS,
    Parts,
    Shortcut,
    imagenet_stem,
    preact_basic,
    stack,
)
from kerasvision.models.variants import choose, variant

WEIGHTS_URL = "https://storage.googleapis.com/tensorflow/keras-applications/resnet/"
# network of keras.applications -> MD5 of the weights file with the top, and without
DIGESTS = {
    "resnet50v2": ("3ef43a0b657b3be2300d5770ece849e0", "fac2f116257151a9d068a22e544a4917"),
    "resnet101v2": ("6343647c601c52e1368623803854d971", "c0ed64b8031c3730f411d2eb4eea35b5"),
    "resnet152v2": ("a49b44d1979771252814e80f8ec446f9", "ed17cf2e0169df9d443503ef94b23b33"),
}
# Of the published weights: biases in the stem, in projections and at the end of a branch.
KERAS = Parts(initializer="glorot_uniform", biases=True, epsilon=1.001e-5, momentum=0.99)
OPTIONS = {
    "shortcut": '`"A"` (identity; where the form changes, every second pixel and channels of zeros), `"B"` '
    '(a 1x1 convolution where the form changes) or `"C"` (always a 1x1 convolution).',
    "initializer": 'of the convolutions: `"he_normal"` or `"glorot_uniform"`.',
}
network = partial(variant, source="https://arxiv.org/abs/1603.05027", native=224, minimum=32)


def bottleneck(x, filters: int, *, project: bool = False, stride: int = 1, name: str):
    """Add a branch of 1x1, 3x3 and 1x1 convolutions: (h, w, c) -> (h/stride, w/stride, 4*filters)."""
    active = KERAS.activate(x, name=f"{name}_preact")
    kept = x
    if project:
        kept = KERAS.conv(active, 4 * filters, 1, stride=stride, name=f"{name}_0")
    elif stride > 1:
        kept = layers.MaxPooling2D(1, strides=stride, name=f"{name}_0_pool")(x)
    x = KERAS.unit(active, filters, 1, bias=False, name=f"{name}_1")
    x = KERAS.unit(x, filters, 3, stride=stride, bias=False, name=f"{name}_2")
    x = KERAS.conv(x, 4 * filters, 1, name=f"{name}_3")
    return layers.Add(name=f"{name}_out")([kept, x])


def bottlenecks(image, *, blocks: tuple[int, ...]):
    """Lay out the network of keras.applications: (h, w, 3) -> (h/32, w/32, 2048).

    The stride is in the last block of a stage, not in the first one of the next.
    """
    x = imagenet_stem(KERAS, image, activate=False)
    for index, (count, filters) in enumerate(zip(blocks, (64, 128, 256, 512), strict=True)):
        name, stride = f"conv{index + 2}", 1 if index == 3 else 2
        x = stack(x, bottleneck, filters, count - 1, name=name, project=True)
        x = bottleneck(x, filters, stride=stride, name=f"{name}_block{count}")
    return KERAS.activate(x, name="post")


def two_convolutions(
    image, *, blocks: tuple[int, ...], shortcut: Shortcut = "B", initializer: str = "he_normal"
):
    """Lay out a stem with its activation and four stages: (h, w, 3) -> (h/32, w/32, 512)."""
    choose("shortcut", shortcut, SHORTCUTS[:-1])
    choose("initializer", initializer, INITIALIZERS)
    parts = Parts(initializer=initializer)
    x = imagenet_stem(parts, image)
    block = partial(preact_basic, parts, shortcut=shortcut)
    for index, (count, filters) in enumerate(zip(blocks, (64, 128, 256, 512), strict=True)):
        first = {"stride": 2} if index else {"activate": False}
        x = stack(x, block, filters, count, name=f"conv{index + 2}", **first)
    return parts.activate(x, name="post")


def download(name: str, include_top: bool) -> tuple[str, str, str]:
    """Return file name, URL and MD5 of the weights of keras.applications."""
    ending, digest = ("", DIGESTS[name][0]) if include_top else ("_notop", DIGESTS[name][1])
    file = f"{name}_weights_tf_dim_ordering_tf_kernels{ending}.h5"
    return file, WEIGHTS_URL + file, digest


def _keras(depth: int, blocks: tuple[int, ...]):
    return network(
        f"ResNet{depth}V2",
        f"resnet{depth}_v2",
        bottlenecks,
        summary=f'Build ResNet-{depth} v2 for images preprocessed in the "tf" way ([-1, 1]).',
        options={},
        download=partial(download, f"resnet{depth}v2"),
        blocks=blocks,
    )


def _two_convolutions(depth: int, blocks: tuple[int, ...]):
    return network(
        f"PreActResNet{depth}",
        f"preact_resnet{depth}",
        two_convolutions,
        summary=f'Build pre-activation ResNet-{depth} for images preprocessed in the "torch" way.',
        options=OPTIONS,
        blocks=blocks,
    )


ResNet50V2 = _keras(50, (3, 4, 6, 3))
ResNet101V2 = _keras(101, (3, 4, 23, 3))
ResNet152V2 = _keras(152, (3, 8, 36, 3))
PreActResNet18 = _two_convolutions(18, (2, 2, 2, 2))
PreActResNet34 = _two_convolutions(34, (3, 4, 6, 3))
