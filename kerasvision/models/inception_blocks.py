"""What InceptionV3 and InceptionResNetV2 share: numbered convolutions with BatchNorm, and rows of them.

Keras numbers the layers that have no name by what was built before in the same program. Here every model
counts for itself, from the names that keras.applications gives in a fresh program.
"""

from collections import Counter
from collections.abc import Callable

from keras import layers

Conv = Callable[..., object]


class Numbers:
    """Count the layers of one model: `conv2d`, `conv2d_1`, `conv2d_2` and so on."""

    def __init__(self) -> None:
        self._counts: Counter = Counter()

    def __call__(self, kind: str) -> str:
        """Return the next name of a kind."""
        count = self._counts[kind]
        self._counts[kind] += 1
        return f"{kind}_{count}" if count else kind


def conv_bn(
    x,
    filters: int,
    size: int | tuple[int, int],
    *,
    numbers: Numbers,
    scale: bool = False,
    strides: int = 1,
    padding: str = "same",
    name: str | None = None,
):
    """Add a convolution without bias, BatchNorm and ReLU, with numbered names or the given one.

    Args:
        x: (batch, h, w, c).
        filters: channels of the result.
        size: side, or (rows, columns), of the kernel.
        numbers: names the layers.
        scale: with the factor of BatchNorm (gamma), as in torchvision; keras.applications has none.
        strides: of the convolution.
        padding: `"same"` or `"valid"`.
        name: of the convolution, and of the others with `_bn` and `_ac` behind.
    """
    names = (
        (name, f"{name}_bn", f"{name}_ac")
        if name
        else map(numbers, ("conv2d", "batch_normalization", "activation"))
    )
    conv, norm, activation = names
    x = layers.Conv2D(filters, size, strides=strides, padding=padding, use_bias=False, name=conv)(x)
    x = layers.BatchNormalization(scale=scale, epsilon=1e-3, name=norm)(x)
    return layers.Activation("relu", name=activation)(x)


def row(x, conv: Conv, *specs: tuple, down: bool = False):
    """Add convolutions one after the other, each (filters, size).

    Args:
        x: (batch, h, w, c).
        conv: `conv_bn` with its settings.
        *specs: (filters, size) of each.
        down: the last one has stride 2 and no padding.
    """
    for index, (filters, size) in enumerate(specs, 1):
        last = {"strides": 2, "padding": "valid"} if down and index == len(specs) else {}
        x = conv(x, filters, size, **last)
    return x


def stem(x, conv: Conv, numbers: Numbers):
    """Reduce the image eight times: (299, 299, 3) -> (35, 35, 192)."""
    x = conv(x, 32, 3, strides=2, padding="valid")
    x = conv(x, 32, 3, padding="valid")
    x = conv(x, 64, 3)
    x = max_pool(x, numbers)
    x = conv(x, 80, 1, padding="valid")
    x = conv(x, 192, 3, padding="valid")
    return max_pool(x, numbers)


def max_pool(x, numbers: Numbers):
    """Halve a map: 3x3 windows, stride 2, no padding."""
    return layers.MaxPooling2D(3, strides=2, name=numbers("max_pooling2d"))(x)


def average_pool(x, numbers: Numbers, *, count_padding: bool = False):
    """Average 3x3 windows at stride 1; at the border, of the pixels inside, or with zeros around (torch)."""
    name = numbers("average_pooling2d")
    if not count_padding:
        return layers.AveragePooling2D(3, strides=1, padding="same", name=name)(x)
    x = layers.ZeroPadding2D(1, name=f"{name}_pad")(x)
    return layers.AveragePooling2D(3, strides=1, name=name)(x)
