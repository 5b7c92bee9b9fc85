"""The blocks of residual networks, shared by their families: layers, shortcuts, blocks, stages.

Every block is a function `(parts, x, filters, *, stride, shortcut, name) -> x`; `parts` makes the layers.
"Deep Residual Learning" is https://arxiv.org/abs/1512.03385, "Identity Mappings" https://arxiv.org/abs/1603.05027.
"""

import sys
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
        batch_norm: normalize after (or before) convolutions; without it they have biases.
        biases: biases beside batch normalization too, as the files of keras.applications have.
        epsilon, momentum: of the batch normalization.
        early_stride: bottlenecks have their stride in the first 1x1 convolution, not in the 3x3.
    """

    initializer: str = "he_normal"
    batch_norm: bool = True
    biases: bool = False
    epsilon: float = 1e-5
    momentum: float = 0.9
    early_stride: bool = False

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
        """Normalize, if this network does."""
        if not self.batch_norm:
            return x
        return layers.BatchNormalization(epsilon=self.epsilon, momentum=self.momentum, name=f"{name}_bn")(x)

    def activate(self, x, *, name: str):
        """Normalize and cut off what is negative."""
        return layers.Activation("relu", name=f"{name}_relu")(self.norm(x, name=name))

    def unit(self, x, filters: int, size: int, **options):
        """Convolve, normalize and cut off what is negative; options are those of `conv`."""
        return self.activate(self.conv(x, filters, size, **options), name=options["name"])


def shortcut_of(
    parts: Parts, x, filters: int, *, stride: int, shortcut: Shortcut, normalize: bool = True, name: str
):
    """Return x in the form of a block's output; section 3.3 of Deep Residual Learning.

    Args:
        parts: makes the layers.
        x: (h, w, c).
        filters: channels of the output.
        stride: of the block.
        shortcut: `"A"` takes every second pixel and pads with channels of zeros, `"B"` convolves where the
            form changes, `"C"` always; `None` is no shortcut.
        normalize: after the convolution.
        name: of the block.
    """
    if shortcut is None or not projects(x, filters, stride=stride, shortcut=shortcut):
        return x if shortcut else None
    if shortcut == "A":
        return zero_padded(x, filters, stride=stride, name=name)
    x = parts.conv(x, filters, 1, stride=stride, name=f"{name}_0")
    return parts.norm(x, name=f"{name}_0") if normalize else x


def projects(x, filters: int, *, stride: int, shortcut: Shortcut) -> bool:
    """Tell whether the shortcut of a block is another than x itself."""
    return stride > 1 or x.shape[-1] != filters or shortcut == "C"


def zero_padded(x, filters: int, *, stride: int, name: str):
    """Take every `stride`-th pixel and add channels of zeros, half on each side as the public weights do."""
    if stride > 1:
        x = layers.MaxPooling2D(1, strides=stride, name=f"{name}_0_pool")(x)
    before, rest = divmod(filters - x.shape[-1], 2)
    if not before + rest:
        return x
    # To this layer, our width and channels are its height and width.
    amount = ((0, 0), (before, before + rest))
    return layers.ZeroPadding2D(amount, data_format="channels_first", name=f"{name}_0_pad")(x)


def added(shortcut, x, *, name: str):
    """End a v1 block: add the shortcut to the branch, if there is one, and cut off what is negative."""
    if shortcut is not None:
        x = layers.Add(name=f"{name}_add")([shortcut, x])
    return layers.Activation("relu", name=f"{name}_out")(x)


def basic(parts: Parts, x, filters: int, *, stride: int = 1, shortcut: Shortcut, name: str):
    """Add a branch of two 3x3 convolutions: (h, w, c) -> (h/stride, w/stride, filters)."""
    kept = shortcut_of(parts, x, filters, stride=stride, shortcut=shortcut, name=name)
    x = parts.unit(x, filters, 3, stride=stride, name=f"{name}_1")
    x = parts.norm(parts.conv(x, filters, 3, name=f"{name}_2"), name=f"{name}_2")
    return added(kept, x, name=name)


def before_branch(
    parts: Parts, x, filters: int, *, stride: int, shortcut: Shortcut, activate: bool, name: str
):
    """Return what the branch and the shortcut of a pre-activation block start with.

    Where the form changes, both take the activation; else the shortcut is x as it is. Directly after the
    stem x is an activation already (`activate=False`; Identity Mappings, appendix).
    """
    active = parts.activate(x, name=f"{name}_preact") if activate else x
    source = active if projects(x, filters, stride=stride, shortcut=shortcut) else x
    kept = shortcut_of(parts, source, filters, stride=stride, shortcut=shortcut, normalize=False, name=name)
    return active, kept


def preact_basic(
    parts: Parts,
    x,
    filters: int,
    *,
    stride: int = 1,
    shortcut: Shortcut,
    activate: bool = True,
    dropout: float = 0.0,
    name: str,
):
    """Add a branch of two 3x3 convolutions, each after its activation; figure 4 (e) of Identity Mappings."""
    x, kept = before_branch(parts, x, filters, stride=stride, shortcut=shortcut, activate=activate, name=name)
    x = parts.unit(x, filters, 3, stride=stride, name=f"{name}_1")
    if dropout:
        x = layers.Dropout(dropout, name=f"{name}_dropout")(x)
    x = parts.conv(x, filters, 3, name=f"{name}_2")
    return layers.Add(name=f"{name}_out")([kept, x])


def stack(x, block: Callable, filters: int, count: int, *, name: str, **first):
    """Put blocks in a row.

    Args:
        x: (h, w, c).
        block: `block(x, filters, name=, **first)`.
        filters: passed to each block.
        count: number of blocks.
        name: prefix of the layers, for example `"conv3"`.
        **first: options of the first block only, such as its stride.
    """
    for index in range(1, count + 1):
        x = block(x, filters, name=f"{name}_block{index}", **(first if index == 1 else {}))
    return x


def imagenet_stem(parts: Parts, image, *, activate: bool = True):
    """Reduce an image four times: (h, w, 3) -> (h/4, w/4, 64)."""
    x = parts.conv(image, 64, 7, stride=2, name="conv1")
    if activate:
        x = parts.activate(x, name="conv1")
    x = layers.ZeroPadding2D(1, name="pool1_pad")(x)
    return layers.MaxPooling2D(3, strides=2, name="pool1_pool")(x)


def allow_depth(layers_in_a_row: int) -> None:
    """Let this process handle graphs so deep: Keras follows them by recursion, one call a layer.

    Python's limit is raised and stays so, because copying and saving such a network need it too.
    """
    needed = layers_in_a_row + 1000
    if sys.getrecursionlimit() < needed:
        sys.setrecursionlimit(needed)
