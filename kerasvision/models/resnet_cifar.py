"""Residual and plain networks for images of about 32 pixels, as published for CIFAR-10.

He et al., Deep Residual Learning for Image Recognition, 2015, section 4.2, https://arxiv.org/abs/1512.03385
The layers, their padding and epsilon are those of the public torch weights, so these load as they are.
"""

from functools import partial

from kerasvision.models.residual_blocks import INITIALIZERS, SHORTCUTS, Parts, Shortcut, basic, stack
from kerasvision.models.variants import choose, variant

OPTIONS = {
    "shortcut": '`"A"` (identity; where the form changes, every second pixel and channels of zeros), `"B"` '
    '(a 1x1 convolution where the form changes), `"C"` (always a 1x1 convolution), or `None` for a plain '
    "network without shortcuts.",
    "initializer": 'of the convolutions: `"he_normal"` or `"glorot_uniform"`.',
    "batch_norm": "normalise after each convolution; without it, convolutions have biases.",
}


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
    parts = Parts(initializer=initializer, batch_norm=batch_norm)
    x = parts.unit(image, 16, 3, name="conv1")
    block = partial(basic, parts, shortcut=shortcut)
    for index, filters in enumerate((16, 32, 64)):
        x = stack(x, block, filters, blocks, stride=1 if index == 0 else 2, name=f"conv{index + 2}")
    return x


def _residual(depth: int, shortcut: Shortcut = "A"):
    kind = "ResNet" if shortcut else "PlainNet"
    return variant(
        f"{kind}{depth}",
        f"{kind.lower()}{depth}",
        residual,
        summary=f"Build {kind}-{depth} for small images, of {depth} layers in three stages.",
        source="https://arxiv.org/abs/1512.03385",
        native=32,
        minimum=8,
        classes=10,
        options=OPTIONS,
        blocks=(depth - 2) // 6,
        shortcut=shortcut,
    )


PlainNet20 = _residual(20, shortcut=None)
PlainNet56 = _residual(56, shortcut=None)
ResNet20 = _residual(20)
ResNet32 = _residual(32)
ResNet44 = _residual(44)
ResNet56 = _residual(56)
ResNet110 = _residual(110)
ResNet1202 = _residual(1202)
