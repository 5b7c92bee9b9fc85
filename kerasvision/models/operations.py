"""Operations of the classic networks that Keras has no layer for, made of its layers and operations.

Saved files load without this package, and LiteRT files hold built-in operations only.
"""

import math

from keras import layers, ops


def local_response_normalization(
    x, *, size: int = 5, bias: float = 2.0, alpha: float = 1e-4, beta: float = 0.75
):
    """Divide each activation by a power of the squares around it, over neighbouring channels.

    `x / (bias + alpha * sum(x**2 over `size` channels)) ** beta`: the sum as in the paper, not the mean that
    Caffe and torch take (their `alpha` is `size` times ours).

    Args:
        x: (batch, h, w, c).
        size: number of neighbouring channels, odd.
        bias: k of the paper.
        alpha: weight of the sum of squares.
        beta: the power.

    Returns:
        (batch, h, w, c), in the type of `x`.

    Krizhevsky et al. 2012, section 3.3.
    """
    channels, half = x.shape[-1], size // 2
    # In float32 also under mixed precision: in float16 the square of 256 overflows.
    wide = x if x.dtype == "float32" else ops.cast(x, "float32")
    squares = ops.pad(ops.square(wide), ((0, 0), (0, 0), (0, 0), (half, half)))
    total = squares[..., :channels]
    for shift in range(1, size):
        total = total + squares[..., shift : shift + channels]
    normalized = wide * ops.power(bias + alpha * total, -beta)
    return normalized if x.dtype == "float32" else ops.cast(normalized, x.dtype)


def ceil_max_pool(x, size: int, *, name: str):
    """Pool with stride 2 so that a last, partial window counts (torch's and Caffe's `ceil_mode`).

    Args:
        x: (batch, h, w, c), never negative: the border that is added is 0.
        size: side of the windows, 2 or 3.
        name: name of the layer; the padding before it is `{name}_pad`.
    """
    x = layers.ZeroPadding2D(((0, 1), (0, 1)), name=f"{name}_pad")(x)
    return layers.MaxPooling2D(size, strides=2, name=name)(x)


def adaptive_average_pool(x, size: int, *, name: str):
    """Average a map to (size, size) whatever its sides are, as torch's `AdaptiveAvgPool2d` does.

    Window i of n over a side of s pixels is from floor(i s / n) to ceil((i + 1) s / n).

    Args:
        x: (batch, h, w, c) with known sides; returned as it is where they are `size` already.
        size: side of the result.
        name: name of the layer where one is enough (sides that are multiples of `size`).

    Raises:
        ValueError: the sides are not known.
    """
    sides = x.shape[1:3]
    if None in sides:
        raise ValueError(
            "`input_shape` must state the height and width of the images for a network with its top: the "
            f"Dense layers take {size} x {size} maps. Received images of any size; state (height, width, 3)."
        )
    if sides == (size, size):
        return x
    if all(side % size == 0 for side in sides):
        windows = tuple(side // size for side in sides)
        return layers.AveragePooling2D(windows, strides=windows, name=name)(x)
    x = ops.concatenate([ops.mean(x[:, a:b], axis=1, keepdims=True) for a, b in _windows(sides[0], size)], 1)
    return ops.concatenate(
        [ops.mean(x[:, :, a:b], axis=2, keepdims=True) for a, b in _windows(sides[1], size)], 2
    )


def _windows(side: int, count: int) -> list[tuple[int, int]]:
    return [(i * side // count, math.ceil((i + 1) * side / count)) for i in range(count)]
