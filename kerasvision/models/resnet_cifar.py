"""Residual and plain networks for images of about 32 pixels, as published for CIFAR-10.

- He et al., Deep Residual Learning for Image Recognition, 2015, section 4.2: https://arxiv.org/abs/1512.03385
- He et al., Identity Mappings in Deep Residual Networks, 2016: https://arxiv.org/abs/1603.05027
- Zagoruyko and Komodakis, Wide Residual Networks, 2016: https://arxiv.org/abs/1605.07146

Layers, padding and epsilon of the first kind are those of the public torch weights, so these load directly.
"""

from functools import partial

from keras import layers

from kerasvision.models.residual_blocks import (
    INITIALIZERS,
    SHORTCUTS,
    Parts,
    Shortcut,
    allow_depth,
    basic,
    before_branch,
    preact_basic,
    stack,
)
from kerasvision.models.variants import choose, variant

OPTIONS = {
    "shortcut": '`"A"` (identity; where the form changes, every second pixel and channels of zeros), `"B"` '
    '(a 1x1 convolution where the form changes), `"C"` (always a 1x1 convolution){plain}.',
    "initializer": 'of the convolutions: `"he_normal"` or `"glorot_uniform"`.',
    "batch_norm": "normalize after each convolution; without it, convolutions have biases.",
    "widen": "how many times wider than ResNet the stages are.",
    "dropout": "fraction dropped between the two convolutions of a block; the paper has 0.3.",
}
DEEP = """Keras follows a graph by recursion, one call a layer, so building this network raises Python's
recursion limit for this process. To load a saved file of it in another one, call
sys.setrecursionlimit(10_000) first."""
network = partial(variant, native=32, minimum=8, classes=10)


def residual(
    image,
    *,
    blocks: int,
    shortcut: Shortcut = "A",
    initializer: str = "he_normal",
    batch_norm: bool = True,
):
    """Lay out three stages of two-convolution blocks: (h, w, 3) -> (h/4, w/4, 64)."""
    choose("shortcut", shortcut, SHORTCUTS)
    choose("initializer", initializer, INITIALIZERS)
    allow_depth(3 * blocks * 7)
    parts = Parts(initializer=initializer, batch_norm=batch_norm)
    x = parts.unit(image, 16, 3, name="conv1")
    block = partial(basic, parts, shortcut=shortcut)
    for index, filters in enumerate((16, 32, 64)):
        x = stack(x, block, filters, blocks, name=f"conv{index + 2}", stride=2 if index else 1)
    return x


def preactivated(image, *, bottlenecks: bool, blocks: int, shortcut: Shortcut = "A", initializer="he_normal"):
    """Lay out three stages of pre-activation blocks: (h, w, 3) -> (h/4, w/4, 64 or 256)."""
    choose("shortcut", shortcut, SHORTCUTS[:-1])
    choose("initializer", initializer, INITIALIZERS)
    allow_depth(3 * blocks * 10)
    parts = Parts(initializer=initializer)
    block = partial(preact_bottleneck if bottlenecks else preact_basic, parts, shortcut=shortcut)
    return preact_stages(parts, image, block, (16, 32, 64), blocks)


def wide(image, *, blocks: int, widen: int = 10, dropout: float = 0.0, initializer: str = "he_normal"):
    """Lay out three stages of wide pre-activation blocks: (h, w, 3) -> (h/4, w/4, 64*widen)."""
    choose("initializer", initializer, INITIALIZERS)
    if not (isinstance(widen, int) and widen > 0):
        raise ValueError(f"`widen` must be a whole number from 1. Received: {widen!r}.")
    if not 0 <= dropout < 1:
        raise ValueError(f"`dropout` must be from 0 to below 1. Received: {dropout!r}.")
    parts = Parts(initializer=initializer)
    block = partial(preact_basic, parts, shortcut="B", dropout=dropout)
    return preact_stages(parts, image, block, [widen * filters for filters in (16, 32, 64)], blocks)


def preact_stages(parts: Parts, image, block, widths, blocks: int):
    """Lay out a stem, three stages of pre-activation blocks, and the activation that ends them."""
    x = parts.unit(image, 16, 3, name="conv1")
    for index, filters in enumerate(widths):
        first = {"stride": 2} if index else {"activate": False}
        x = stack(x, block, filters, blocks, name=f"conv{index + 2}", **first)
    return parts.activate(x, name="post")


def preact_bottleneck(
    parts: Parts, x, filters: int, *, stride: int = 1, shortcut: Shortcut, activate: bool = True, name: str
):
    """Add a branch of 1x1, 3x3 and 1x1 convolutions, each after its activation, to (h, w, 4*filters).

    The stride is in the first convolution, as in the authors' code (github.com/KaimingHe/resnet-1k-layers).
    """
    x, kept = before_branch(
        parts, x, 4 * filters, stride=stride, shortcut=shortcut, activate=activate, name=name
    )
    x = parts.unit(x, filters, 1, stride=stride, name=f"{name}_1")
    x = parts.unit(x, filters, 3, name=f"{name}_2")
    x = parts.conv(x, 4 * filters, 1, name=f"{name}_3")
    return layers.Add(name=f"{name}_out")([kept, x])


def _residual(depth: int, shortcut: Shortcut = "A"):
    kind = "ResNet" if shortcut else "PlainNet"
    return network(
        f"{kind}{depth}",
        f"{kind.lower()}{depth}",
        residual,
        summary=f'Build {kind}-{depth} for small images, pixels scaled in the "torch" way.',
        source="https://arxiv.org/abs/1512.03385",
        note=DEEP if depth > 1000 else "",
        options=_options(", or `None` (a plain network)"),
        blocks=(depth - 2) // 6,
        shortcut=shortcut,
    )


def _preactivated(depth: int, *, bottlenecks: bool):
    return network(
        f"PreActResNet{depth}",
        f"preact_resnet{depth}",
        preactivated,
        summary=f'Build pre-activation ResNet-{depth} for small images, pixels scaled in the "torch" way.',
        source="https://arxiv.org/abs/1603.05027",
        note=DEEP if depth > 1000 else "",
        options=_options(),
        bottlenecks=bottlenecks,
        blocks=(depth - 2) // (9 if bottlenecks else 6),
        shortcut="B" if bottlenecks else "A",
    )


def _options(plain: str = "") -> dict[str, str]:
    return {name: text.replace("{plain}", plain) for name, text in OPTIONS.items()}


PlainNet20 = _residual(20, shortcut=None)
PlainNet56 = _residual(56, shortcut=None)
ResNet20 = _residual(20)
ResNet32 = _residual(32)
ResNet44 = _residual(44)
ResNet56 = _residual(56)
ResNet110 = _residual(110)
ResNet1202 = _residual(1202)
PreActResNet110 = _preactivated(110, bottlenecks=False)
PreActResNet164 = _preactivated(164, bottlenecks=True)
PreActResNet1001 = _preactivated(1001, bottlenecks=True)
WideResNet28 = network(
    "WideResNet28",
    "wide_resnet28",
    wide,
    summary='Build Wide ResNet-28-10 for small images, pixels scaled in the "torch" way.',
    source="https://arxiv.org/abs/1605.07146",
    options=OPTIONS,
    blocks=4,
)
