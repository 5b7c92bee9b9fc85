"""The blocks of residual networks, shared by their families: layers, shortcuts, blocks, stages.

Every block is a function `(parts, x, filters, *, stride, shortcut, name) -> x`; `parts` makes the layers.
"Deep Residual Learning" is https://arxiv.org/abs/1512.03385, "Identity Mappings" https://arxiv.org/abs/1603.05027.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from keras import layers

Shortcut = Literal["A", "B", "C"] | None
SHORTCUTS = ("A", "B", "C", None)
INITIALIZERS = ("he_normal", "glorot_uniform")


@dataclass(frozen=True)
class Parts:
    """How the layers of one network are made.

    Attributes:
        initializer: of the kernels of convolutions.
        batch_norm: normalise after (or before) convolutions; without it they have biases.
        biases: biases beside batch normalisation too, as the files of keras.applications have.
        epsilon, momentum: of the batch normalisation.
    """

    initializer: str = "he_normal"
    batch_norm: bool = True
    biases: bool = False
    epsilon: float = 1e-5
    momentum: float = 0.9

    def conv(self, x, filters: int, size: int, *, stride: int = 1, groups: int = 1, bias=None, name: str):
        """Convolve as torch does: (h, w, c) -> (ceil(h/stride), ceil(w/stride), filters)."""
        padding = "same"
        if stride > 1 and size > 1:
            # "same" would pad even sides at the bottom and right only, so that all maps shift.
            x = layers.ZeroPadding2D(size // 2, name=f"{name}_pad")(x)
            padding = "valid"
        return layers.Conv2D(
            filters,
            size,
            strides=stride,
            padding=padding,
            groups=groups,
            use_bias=self.biases or not self.batch_norm if bias is None else bias,
            kernel_initializer=self.initializer,
            name=f"{name}_conv",
        )(x)

    def norm(self, x, *, name: str):
        """Normalise, if this network does."""
        if not self.batch_norm:
            return x
        return layers.BatchNormalization(epsilon=self.epsilon, momentum=self.momentum, name=f"{name}_bn")(x)

    def activate(self, x, *, name: str):
        """Normalise and cut off what is negative."""
        return layers.Activation("relu", name=f"{name}_relu")(self.norm(x, name=name))

    def unit(self, x, filters: int, size: int, **options):
        """Convolve, normalise and cut off what is negative; options are those of `conv`."""
        return self.activate(self.conv(x, filters, size, **options), name=options["name"])


def shortcut_of(parts: Parts, x, filters: int, *, stride: int, shortcut: Shortcut, name: str):
    """Return x in the form of a block's output; section 3.3 of Deep Residual Learning.

    Args:
        parts: makes the layers.
        x: (h, w, c).
        filters: channels of the output.
        stride: of the block.
        shortcut: `"A"` takes every second pixel and pads with channels of zeros, `"B"` convolves where the
            form changes, `"C"` always; `None` is no shortcut.
        name: of the block.
    """
    changes = stride > 1 or x.shape[-1] != filters
    if shortcut is None or not (changes or shortcut == "C"):
        return x if shortcut else None
    if shortcut == "A":
        return zero_padded(x, filters, stride=stride, name=name)
    x = parts.conv(x, filters, 1, stride=stride, name=f"{name}_0")
    return parts.norm(x, name=f"{name}_0")


def zero_padded(x, filters: int, *, stride: int, name: str):
    """Take every `stride`-th pixel and add channels of zeros, half on each side (as the public weights do)."""
    if stride > 1:
        x = layers.MaxPooling2D(1, strides=stride, name=f"{name}_0_pool")(x)
    before, rest = divmod(filters - x.shape[-1], 2)
    if not before + rest:
        return x
    # To this layer, our width and channels are its height and width.
    amount = ((0, 0), (before, before + rest))
    return layers.ZeroPadding2D(amount, data_format="channels_first", name=f"{name}_0_pad")(x)


def add(shortcut, x, *, name: str):
    """Add the shortcut, if there is one."""
    return x if shortcut is None else layers.Add(name=name)([shortcut, x])


def basic(parts: Parts, x, filters: int, *, stride: int, shortcut: Shortcut, name: str):
    """Add a branch of two 3x3 convolutions: (h, w, c) -> (h/stride, w/stride, filters)."""
    kept = shortcut_of(parts, x, filters, stride=stride, shortcut=shortcut, name=name)
    x = parts.unit(x, filters, 3, stride=stride, name=f"{name}_1")
    x = parts.conv(x, filters, 3, name=f"{name}_2")
    x = parts.norm(x, name=f"{name}_2")
    x = add(kept, x, name=f"{name}_add")
    return layers.Activation("relu", name=f"{name}_out")(x)


def stack(x, block: Callable, filters: int, count: int, *, stride: int, name: str):
    """Put blocks in a row; the first one has the stride.

    Args:
        x: (h, w, c).
        block: `block(x, filters, stride=, name=)`.
        filters: channels that each block gives.
        count: number of blocks.
        stride: of the first block.
        name: prefix of the layers, for example `"conv3"`.
    """
    for index in range(1, count + 1):
        x = block(x, filters, stride=stride if index == 1 else 1, name=f"{name}_block{index}")
    return x
