"""Match the tensors of a torch file with the weights of a model, by the names of its layers."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import keras
import numpy as np
from keras import layers

from kerasvision.errors import WeightsError
from kerasvision.models import graph
from kerasvision.models.matching import TOPS, Match, advice_on_top, misfit, show
from kerasvision.models.preprocessing import Normalization, mode_of
from kerasvision.models.torch_files import TorchFile, read
from kerasvision.models.torch_names import RULES, Family

# torch counts the batches that BatchNorm has seen; no answer depends on it.
COUNTER = "num_batches_tracked"


@dataclass(frozen=True)
class _Wanted:
    """A tensor that a weight of the model is to come from.

    Attributes:
        layer: name of the layer.
        variable: the weight.
        tensor: name in the file.
        shapes: of the tensor, as torch would have it; any of them.
        convert: from torch's order of axes to Keras'.
    """

    layer: str
    variable: keras.Variable
    tensor: str
    shapes: tuple[tuple[int, ...], ...]
    convert: Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class _Fit:
    """How a family's names fit a model and a file."""

    family: Family
    modules: Mapping[str, str | None]
    wanted: Sequence[_Wanted]
    ignored: Sequence[str]
    missing: Sequence[str]
    extra: Sequence[str]
    different: Sequence[str]

    @property
    def problems(self) -> tuple[Sequence[str], ...]:
        return self.different, self.missing, self.extra


def match_torch(
    model: keras.Model,
    file: TorchFile,
    ignore: Sequence[str],
    preprocessing: str | Normalization | None = None,
) -> Match:
    """Find the tensor of every weight.

    Args:
        model: built, flat functional model.
        file: the file.
        ignore: names of layers, or of torch modules, that the file may have and the model need not.
        preprocessing: what is known of what the weights expect.

    Raises:
        WeightsError: the file is not of this network, or the network is not made as torch makes it; lists
            what does not fit.
    """
    shapes = {
        name: tensor.shape for name, tensor in file.tensors.items() if name.rsplit(".", 1)[-1] != COUNTER
    }
    fit = _best_fit(model, shapes, ignore, file.path)
    wrong = _construction(model, fit, shapes)
    if wrong and len(fit.extra) + len(fit.different) <= len(shapes) / 2:
        raise misfit(model, file.path, [wrong], fit.family.advice)
    if any(fit.problems):
        raise misfit(model, file.path, fit.problems, _advice(fit, shapes))
    odd = [name for name in (item.tensor for item in fit.wanted) if not file.tensors[name].is_float]
    if odd:
        kinds = [f"{name}: {file.tensors[name].dtype}" for name in odd]
        raise misfit(model, file.path, [kinds], "Weights are floats; quantized files are not loaded.")
    values = [item.convert(read(file, item.tensor)) for item in fit.wanted]
    return Match(
        tuple(dict.fromkeys(item.layer for item in fit.wanted)),
        [item.variable for item in fit.wanted],
        values,
        (*fit.ignored, *file.left_out),
        preprocessing,
    )


def stated_preprocessing(file: TorchFile) -> str | Normalization | None:
    """Return what the metadata of a file say that its weights expect of pixels.

    Raises:
        WeightsError: it names numbers that cannot be.
    """
    numbers = [file.metadata.get(key) for key in ("normalize_mean", "normalize_std")]
    if not all(numbers):
        return None
    try:
        return mode_of(*([float(part) for part in text.strip("[]() ").split(",")] for text in numbers))
    except ValueError as error:
        raise WeightsError(
            f"{file.path} states {error} for its pixels, which cannot be. Correct its metadata."
        ) from None


def usual_preprocessing(file: TorchFile) -> str | None:
    """Return what the public files of a file's family expect of pixels; `None` where that differs."""
    shapes = {name: tensor.shape for name, tensor in file.tensors.items()}
    family = family_of(shapes)
    return family.preprocessing(shapes) if family else None


def classes_in(file: TorchFile, top: str) -> int | None:
    """Return the number of classes of the top in a file, by the name of our layer; `None` without a top."""
    shapes = {name: tensor.shape for name, tensor in file.tensors.items()}
    own = family_of(shapes)
    modules = [family.modules([top])[top] for family in ((own,) if own else RULES)]
    return next((shapes[f"{m}.weight"][0] for m in modules if shapes.get(f"{m}.weight")), None)


def family_of(shapes: Mapping[str, tuple]) -> Family | None:
    """Return the family that a file is of, by the tensor that only its files have."""
    return next((family for family in RULES if family.sign in shapes), None)


def _best_fit(model: keras.Model, shapes: Mapping[str, tuple], ignore: Sequence[str], path) -> _Fit:
    owners = [layer for layer in model.layers if layer.weights]
    if not graph.is_flat(model):
        raise WeightsError(
            f"Torch files are loaded into flat models; {model.name!r} has models nested inside. Load {path} "
            "into the inner one."
        )
    fits = []
    for family in RULES:
        modules = family.modules([*(layer.name for layer in owners), *ignore])
        if all(modules[layer.name] for layer in owners):
            fits.append(_fit(model, owners, family, modules, shapes, ignore))
    if not fits:
        family = family_of(shapes)
        hint = f" The file is of the family {family.name}. {family.advice}" if family else ""
        raise WeightsError(
            f"{path} is a file of torch, and no rule is known from the layers of model {model.name!r} "
            f"({', '.join(layer.name for layer in owners[:3])}, …) to torch's names. Rules are there for the "
            "builders of kerasvision.models of these families: "
            f"{', '.join(known.name for known in RULES)}.{hint}"
        )
    return min(fits, key=lambda fit: sum(map(len, fit.problems)))


def _fit(model, owners, family: Family, modules, shapes: Mapping[str, tuple], ignore: Sequence[str]) -> _Fit:
    flattened = _flattened(model)
    wanted, unknown = [], []
    for layer in owners:
        found = _tensors(layer, modules[layer.name], flattened.get(layer.name))
        wanted += found
        if not found:
            unknown.append(f"{layer.name}: a {type(layer).__name__}, which torch files are not loaded into")
    missing = [
        f"{item.layer}: {item.tensor} is not in the file" for item in wanted if item.tensor not in shapes
    ]
    different = [
        f"{item.layer}: {item.tensor} is {show(shapes[item.tensor])} in the file, "
        f"{show(item.shapes[0])} in the model"
        for item in wanted
        if item.tensor in shapes and shapes[item.tensor] not in item.shapes
    ]
    unused = [name for name in shapes if name not in {item.tensor for item in wanted}]
    left_out = {*ignore, *filter(None, (modules.get(name) for name in ignore))}
    taken = {module for module in modules.values() if module}
    left_out |= {head for head in family.auxiliary if not any(_inside(module, head) for module in taken)}
    ignored = [name for name in unused if any(_inside(name, module) for module in left_out)]
    extra = [f"{name}: in the file, not in the model" for name in unused if name not in ignored]
    return _Fit(family, modules, wanted, ignored, [*unknown, *missing], extra, different)


def _inside(name: str, module: str) -> bool:
    return name == module or name.startswith(f"{module}.")


def _tensors(layer, module: str, flattened: tuple[int, ...] | None) -> list[_Wanted]:
    """Return what a layer's weights come from; empty for a layer of a kind that is not known."""
    if isinstance(layer, layers.BatchNormalization):
        names = {
            "weight": layer.gamma if layer.scale else None,
            "bias": layer.beta if layer.center else None,
            "running_mean": layer.moving_mean,
            "running_var": layer.moving_variance,
        }
        found = [
            (name, variable, (tuple(variable.shape),), _same)
            for name, variable in names.items()
            if variable is not None
        ]
    elif isinstance(layer, layers.DepthwiseConv2D):
        height, width, channels, each = layer.kernel.shape
        convert = _depthwise(channels, each)
        found = [("weight", layer.kernel, ((channels * each, 1, height, width),), convert), *_bias(layer)]
    elif isinstance(layer, layers.Conv2D):
        height, width, channels, filters = layer.kernel.shape
        found = [("weight", layer.kernel, ((filters, channels, height, width),), _convolution), *_bias(layer)]
    elif isinstance(layer, layers.Dense):
        found = [("weight", layer.kernel, *_dense(layer, flattened)), *_bias(layer)]
    else:
        found = []
    return [
        _Wanted(layer.name, variable, f"{module}.{name}", shapes, convert)
        for name, variable, shapes, convert in found
    ]


def _bias(layer) -> list[tuple]:
    return [("bias", layer.bias, (tuple(layer.bias.shape),), _same)] if layer.use_bias else []


def _same(values: np.ndarray) -> np.ndarray:
    return values


def _convolution(values: np.ndarray) -> np.ndarray:
    """(out, in / groups, height, width) -> (height, width, in / groups, out)."""
    return values.transpose(2, 3, 1, 0)


def _depthwise(channels: int, each: int) -> Callable:
    """(channels * each, 1, height, width) -> (height, width, channels, each)."""
    return lambda values: values.reshape(channels, each, *values.shape[2:]).transpose(2, 3, 0, 1)


def _dense(layer, flattened: tuple[int, ...] | None) -> tuple[tuple, Callable]:
    """Shapes and conversion of a Dense kernel: (out, in) -> (in, out).

    After a Flatten, torch's inputs are in the order (c, h, w), Keras' in (h, w, c). A convolution over the
    whole map, which timm has there, is the same.
    """
    inputs, outputs = layer.kernel.shape
    height, width, channels = flattened or (1, 1, inputs)
    square = (outputs, channels, height, width)

    def convert(values: np.ndarray) -> np.ndarray:
        return values.reshape(square).transpose(2, 3, 1, 0).reshape(inputs, outputs)

    return ((outputs, inputs), square), convert


def _flattened(model: keras.Model) -> dict[str, tuple[int, ...]]:
    """Return name of a Dense layer -> (h, w, c) of the map that was flattened before it."""
    maps, found = {}, {}
    for node in graph.nodes(model):
        layer, before, after = node.operation, node.input_tensors, node.output_tensors
        if isinstance(layer, layers.Flatten) and len(before[0].shape) == 4:
            maps[id(after[0])] = tuple(before[0].shape[1:])
        elif isinstance(layer, layers.Dropout | layers.Activation | layers.ReLU) and id(before[0]) in maps:
            maps[id(after[0])] = maps[id(before[0])]
        elif isinstance(layer, layers.Dense) and id(before[0]) in maps:
            found[layer.name] = maps[id(before[0])]
    return found


def _construction(model: keras.Model, fit: _Fit, shapes: Mapping[str, tuple]) -> list[str]:
    """Return where a model is made otherwise than torch makes it, and would answer wrongly.

    Names are those of the family, so what follows from them can be looked up in the graph.
    """
    kinds = {node.operation.name: node.operation for node in graph.nodes(model)}
    epsilon, problems = fit.family.epsilon, []
    for name, layer in kinds.items():
        if isinstance(layer, layers.BatchNormalization):
            if abs(layer.epsilon - epsilon) > 1e-9:
                problems.append(f"{name}: epsilon {layer.epsilon:g}, the weights expect {epsilon:g}")
            if not layer.scale and f"{fit.modules[name]}.weight" in shapes:
                problems.append(f"{name}: has no factors (gamma), the file has")
        if not isinstance(layer, layers.Conv2D | layers.DepthwiseConv2D):
            continue
        if layer.use_bias and f"{fit.modules[name]}.bias" not in shapes:
            problems.append(f"{name}: has biases, the file has none")
        strided, size = max(layer.strides) > 1, max(layer.kernel_size)
        if strided and size > 1 and layer.padding == "same":
            problems.append(f"{name}: has a stride and padding 'same', torch pads both sides alike")
        if strided and name.endswith("_1_conv") and f"{name[:-6]}3_conv" in kinds:
            problems.append(f"{name}: has the stride, which torch has on {name[:-6]}2_conv")
    return problems


def _advice(fit: _Fit, shapes: Mapping[str, tuple]) -> str:
    family = family_of(shapes)
    if family is not None and family is not fit.family:
        return f"The file is of the family {family.name}. Use the file of this network."
    names = {module: name for name, module in fit.family.modules(sorted(TOPS)).items() if module}
    modules = [name.split(":")[0].rpartition(".")[0] for name in fit.extra]
    top = advice_on_top(
        {item.layer for item in fit.wanted if shapes.get(item.tensor, item.shapes[0]) not in item.shapes},
        {item.layer for item in fit.wanted if item.tensor not in shapes},
        {names.get(module, module) for module in modules},
    )
    in_file, in_model = _depth(shapes), _depth([item.tensor for item in fit.wanted])
    if not top and in_file != in_model:
        return f"The file is of another depth: {in_file} modules a stage in it, {in_model} in the model."
    return top or (
        "Use the file of this network (same depth, same options, same number of classes). "
        f"{fit.family.advice}"
    )


def _depth(tensors: Iterable[str]) -> str:
    """Return how many modules each stage has, `"3, 4, 6, 3"`, by names such as `layer2.0.conv1.weight`."""
    places = {found.groups() for name in tensors if (found := re.match(r"layer(\d+)\.(\d+)\.", name))}
    stages = Counter(stage for stage, _ in places)
    return ", ".join(str(stages[stage]) for stage in sorted(stages))
