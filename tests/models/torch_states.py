"""Turn a Keras model into the tensors that torch would have, written independently of the package."""

import keras
import numpy as np
from safetensors.numpy import save_file
from torch_writer import save_legacy, save_zip, tensor


def randomized(model, seed=0):
    """Give every weight a value of its own, such that activations keep their size."""
    generator = np.random.default_rng(seed)
    for variable in model.variables:
        kernel = len(variable.shape) > 1
        deviation = np.prod(variable.shape[:-1]) ** -0.5 if kernel else 0.1
        variable.assign(generator.normal(0 if kernel else 1, deviation, variable.shape))
    return model


def state_of(model, modules, maps=None):
    """Return name -> array in torch's order of axes.

    `modules` maps names of layers; `maps` names of Dense layers after a Flatten to the (h, w, c) before it.
    """
    state = {}
    for layer in model.layers:
        if not layer.weights:
            continue
        module, arrays = modules[layer.name], {}
        if isinstance(layer, keras.layers.BatchNormalization):
            names = ("weight", "bias", "running_mean", "running_var")
            arrays = dict(zip(names, layer.get_weights(), strict=True))
            state[f"{module}.num_batches_tracked"] = np.array(7)
        else:
            kernel, *bias = layer.get_weights()
            if isinstance(layer, keras.layers.DepthwiseConv2D):
                height, width, channels, multiplier = kernel.shape
                out = np.empty((channels * multiplier, 1, height, width), "float32")
                for c in range(channels):
                    for m in range(multiplier):
                        out[c * multiplier + m, 0] = kernel[:, :, c, m]
                kernel = out
            elif kernel.ndim == 4:
                kernel = np.moveaxis(kernel, (3, 2), (0, 1))
            elif layer.name in (maps or {}):
                h, w, c = maps[layer.name]
                order = np.arange(h * w * c).reshape(h, w, c)
                kernel = kernel[[order[y, x, z] for z in range(c) for y in range(h) for x in range(w)]].T
            else:
                kernel = kernel.T
            arrays = {"weight": kernel} | ({"bias": bias[0]} if bias else {})
        state |= {f"{module}.{name}": np.ascontiguousarray(values) for name, values in arrays.items()}
    return state


def save(state, path, *, kind="safetensors", metadata=None):
    if kind == "safetensors":
        save_file(state, path, metadata=metadata)
    else:
        write = {"zip": save_zip, "legacy": save_legacy}[kind]
        write(path, {name: tensor(values) for name, values in state.items()})
    return path


def cifar_modules(model, shortcut="shortcut", top="linear"):
    """As github.com/akamaster/pytorch_resnet_cifar10 names them."""
    modules = {"conv1_conv": "conv1", "conv1_bn": "bn1", "predictions": top}
    for layer in model.layers:
        if "_block" in layer.name and layer.weights:
            stage, block, index, kind = layer.name.replace("block", "").split("_")
            part = f"{kind}{index}" if index != "0" else f"{shortcut}.{'01'[kind == 'bn']}"
            modules[layer.name] = f"layer{int(stage[-1]) - 1}.{int(block) - 1}.{part}"
    return modules
