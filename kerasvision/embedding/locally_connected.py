"""A convolution whose kernel is another one at each place; Keras 3 has no such layer any more."""

from math import prod

import keras
from keras import activations, initializers, ops

from kerasvision.errors import KerasvisionError


@keras.saving.register_keras_serializable(package="kerasvision")
class LocallyConnected2D(keras.layers.Layer):
    """A convolution without padding that shares no weights between places.

    (b, h, w, c) -> (b, rows, columns, filters). The weights have the shapes and the order that they had in
    the layer of this name of Keras 2: `kernel`, (rows * columns, kernel height * kernel width * c, filters),
    and `bias`, (rows, columns, filters). It is made of slices and one product of matrices at each place, all
    built-in operations of TFLite and ONNX; the patches take kernel height * kernel width times the memory of
    a map.

    Args:
        filters: channels of the result.
        kernel_size: side in pixels, or (height, width).
        strides: step in pixels, or (rows, columns).
        activation: as in `keras.layers.Conv2D`.
        use_bias: add a number to each channel at each place.
        kernel_initializer: called with the shape (inputs of one place, places * filters), so that those that
            go by their inputs (`he_normal`, `lecun_normal`) give the scale that a convolution gets.
        bias_initializer: as in `keras.layers.Conv2D`.

    Raises:
        KerasvisionError: a number is not positive, or images are of any size or smaller than the kernel.

    Taigman et al., DeepFace, 2014, section 2.2.

    >>> LocallyConnected2D(4, 3)(keras.Input((8, 8, 2))).shape
    (None, 6, 6, 4)
    """

    def __init__(
        self,
        filters: int,
        kernel_size: int | tuple[int, int],
        strides: int | tuple[int, int] = 1,
        activation=None,
        use_bias: bool = True,
        kernel_initializer="he_normal",
        bias_initializer="zeros",
        **options,
    ):
        super().__init__(**options)
        self.filters = _positive("filters", filters, 1)[0]
        self.kernel_size = _positive("kernel_size", kernel_size, 2)
        self.strides = _positive("strides", strides, 2)
        self.activation = activations.get(activation)
        self.use_bias = use_bias
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.bias_initializer = initializers.get(bias_initializer)

    def build(self, input_shape):
        """Make a kernel for each place."""
        rows, columns = self._places(input_shape)
        inputs = prod(self.kernel_size) * input_shape[-1]
        self.kernel = self.add_weight(
            name="kernel", shape=(rows * columns, inputs, self.filters), initializer=self._at_each_place
        )
        if self.use_bias:
            self.bias = self.add_weight(
                name="bias", shape=(rows, columns, self.filters), initializer=self.bias_initializer
            )

    def call(self, maps):
        """Return the products of the patch at each place with the kernel there."""
        rows, columns = self._places(maps.shape)
        patches = ops.concatenate(list(self._slices(maps, rows, columns)), axis=-1)
        # Places first: a product of a (b, inputs) with an (inputs, filters) matrix for each.
        patches = ops.reshape(patches, (-1, rows * columns, self.kernel.shape[1]))
        products = ops.matmul(ops.transpose(patches, (1, 0, 2)), self.kernel)
        maps = ops.reshape(ops.transpose(products, (1, 0, 2)), (-1, rows, columns, self.filters))
        maps = maps + self.bias if self.use_bias else maps
        return self.activation(maps)

    def compute_output_shape(self, input_shape):
        """Return (b, rows, columns, filters)."""
        return (input_shape[0], *self._places(input_shape), self.filters)

    def get_config(self):
        """Return the arguments."""
        return {
            **super().get_config(),
            "filters": self.filters,
            "kernel_size": self.kernel_size,
            "strides": self.strides,
            "activation": activations.serialize(self.activation),
            "use_bias": self.use_bias,
            "kernel_initializer": initializers.serialize(self.kernel_initializer),
            "bias_initializer": initializers.serialize(self.bias_initializer),
        }

    @property
    def multiply_adds(self) -> int:
        """The products that are added up for one image."""
        return prod(self.kernel.shape)

    def _places(self, shape) -> tuple[int, int]:
        sides = tuple(shape[1:3])
        if (
            len(shape) != 4
            or None in sides
            or any(a < b for a, b in zip(sides, self.kernel_size, strict=True))
        ):
            raise KerasvisionError(
                f"`{self.name}` must get maps (b, height, width, channels) of a stated size, at least "
                f"{self.kernel_size}: it has weights for each place. Received: {tuple(shape)}."
            )
        return tuple(
            (side - size) // step + 1
            for side, size, step in zip(sides, self.kernel_size, self.strides, strict=True)
        )

    def _slices(self, maps, rows: int, columns: int):
        """Give, for each place in the kernel, what is there in all patches: (b, rows, columns, c)."""
        (height, width), (down, right) = self.kernel_size, self.strides
        for row in range(height):
            for column in range(width):
                yield maps[
                    :,
                    row : row + (rows - 1) * down + 1 : down,
                    column : column + (columns - 1) * right + 1 : right,
                ]

    def _at_each_place(self, shape, dtype=None):
        places, inputs, filters = shape
        values = self.kernel_initializer((inputs, places * filters), dtype=dtype)
        return ops.transpose(ops.reshape(values, (inputs, places, filters)), (1, 0, 2))


def _positive(argument: str, value, count: int) -> tuple[int, ...]:
    numbers = tuple(value) if isinstance(value, tuple | list) else (value,) * count
    if len(numbers) != count or any(isinstance(n, bool) or not isinstance(n, int) or n < 1 for n in numbers):
        raise KerasvisionError(
            f"`{argument}` must be a positive number{' or a pair of them' if count == 2 else ''}. "
            f"Received: {value!r}."
        )
    return numbers
