"""Count the multiply-adds of a network from its graph, and list what is known about all networks."""

from math import prod

from kerasvision.models.registry import entry, list_models

# Layers and operations that multiply without a kernel of their own.
PRODUCTS = set(
    "Matmul Dot Einsum Tensordot Inner Outer Vdot Conv DepthwiseConv SeparableConv ConvTranspose "
    "Attention AdditiveAttention DotProductAttention".split()
)


def multiply_adds(model, image_size: int | tuple[int, int] | None = None) -> int:
    """Count the multiply-adds of one image through a network.

    Counted are convolutions (grouped, depthwise, separable and transposed too) and Dense layers, one for each
    product that is added up, padding included: what papers call multiply-adds or MACs, and some FLOPs.
    Biases, BatchNorm, activations, poolings and preprocessing are not counted, as usual.

    Args:
        model: functional model of one image input.
        image_size: side in pixels, or (height, width), for a model that takes images of any size.

    Returns:
        The number for one image.

    Raises:
        ValueError: the size is not known, or not that of the model; or a layer multiplies by weights in a way
            that is not known here.

    >>> from kerasvision.models import get_model
    >>> multiply_adds(get_model("resnet_small"))
    12501632
    """
    from kerasvision.models import graph

    inputs = graph.functional(model).inputs
    counted = []

    def call(operation, args, kwargs, node):
        outputs = operation.compute_output_spec(*args, **kwargs)
        first = args[0] if args else next(iter(kwargs.values()))
        counted.append(_of(operation, first, outputs))
        return outputs

    image = _image(inputs, image_size, model.name)
    graph.replay(model, {id(inputs[0]): image}, call, flatten=True)
    return sum(counted)


def summary_table(task: str | None = None) -> list[dict]:
    """Return what is known about every network, without building any (and without TensorFlow).

    Args:
        task: only networks for this task, for example `"classify"`.

    Returns:
        A row for each network, with `name`, `year`, `parameters`, `multiply_adds` (at the native size),
        `native_size`, `weights` (names of those that exist), `top_1`, `top_5` and `source` (of these two).

    Raises:
        ValueError: no network is known for this task.

    >>> summary_table()[0]["name"]
    'mobilenet_v2'
    """
    return [_row(entry(name)) for name in list_models(task)]


def _row(known) -> dict:
    return {
        "name": known.name,
        "year": known.year,
        "parameters": known.parameters,
        "multiply_adds": known.multiply_adds,
        "native_size": known.native_size,
        "weights": list(known.weights),
        "top_1": known.top_1,
        "top_5": known.top_5,
        "source": known.accuracy_source,
    }


def _image(inputs: list, image_size, name: str):
    """Return a symbolic image of the size asked for."""
    import keras

    if len(inputs) != 1 or len(inputs[0].shape) != 4:
        raise ValueError(
            f"`model` must have one image input (batch, height, width, channels). {name!r} has inputs of "
            f"{[tensor.shape for tensor in inputs]}."
        )
    _, *sides, channels = inputs[0].shape
    wanted = sides if image_size is None else image_size
    wanted = [wanted, wanted] if isinstance(wanted, int) else list(wanted)
    if len(wanted) != 2 or not all(isinstance(side, int) and side > 0 for side in wanted):
        raise ValueError(
            f"`image_size` must be a side in pixels or (height, width); {name!r} takes {tuple(sides)}. "
            f"Received: {image_size!r}."
        )
    if any(known not in (None, side) for known, side in zip(sides, wanted, strict=True)):
        raise ValueError(
            f"`image_size` must be {tuple(sides)}, which {name!r} was built for. Received: {image_size!r}. "
            "Build it for the other size, or with input_shape=(None, None, 3)."
        )
    return keras.KerasTensor((1, *wanted, channels), dtype=inputs[0].dtype)


def _of(operation, source, outputs) -> int:
    """Return the multiply-adds of one call of a layer or an operation."""
    from keras import layers

    counters = (
        ((layers.SeparableConv1D, layers.SeparableConv2D), _separable),
        ((layers.Conv1DTranspose, layers.Conv2DTranspose, layers.Conv3DTranspose), _transposed),
        ((layers.DepthwiseConv1D, layers.DepthwiseConv2D), _convolution),
        ((layers.Conv1D, layers.Conv2D, layers.Conv3D), _convolution),
        ((layers.Dense,), _dense),
    )
    for kinds, count in counters:
        if isinstance(operation, kinds):
            return count(operation, source, outputs)
    if hasattr(operation, "multiply_adds"):  # a layer of ours that counts for itself
        return operation.multiply_adds
    matrices = [v for v in getattr(operation, "weights", ()) if len(v.shape) > 1]
    if matrices or type(operation).__name__ in PRODUCTS:
        raise ValueError(
            f"`model` has a layer whose multiply-adds are not known: {operation.name!r} "
            f"({type(operation).__name__}). Known are Conv1D to 3D, their depthwise, separable and "
            "transposed forms, and Dense."
        )
    return 0


def _positions(tensor) -> int:
    return prod(tensor.shape[1:-1])


def _convolution(layer, source, outputs) -> int:
    return _positions(outputs) * prod(layer.kernel.shape)


def _separable(layer, source, outputs) -> int:
    return _positions(outputs) * (prod(layer.depthwise_kernel.shape) + prod(layer.pointwise_kernel.shape))


def _transposed(layer, source, outputs) -> int:
    return _positions(source) * prod(layer.kernel.shape)


def _dense(layer, source, outputs) -> int:
    return _positions(outputs) * prod(layer.kernel.shape)
