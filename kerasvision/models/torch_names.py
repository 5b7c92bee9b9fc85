"""From the names of our layers to the names of torch's modules, one rule a family.

A rule is a function from the name of a Keras layer to the module that holds its weights in a torch file, or
`None` for a layer that the family does not have: `conv3_block1_0_bn` -> `layer2.0.downsample.1`. A family
whose modules are numbered through (`features.7`) needs the names of all layers, in order; `Family.modules`
takes them all, and `each` turns a rule for one name into one for all. To add a family, add a `Family` to
`RULES`; which of them a file belongs to is found out by what fits.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

Rule = Callable[[str], str | None]
Shapes = Mapping[str, tuple[int, ...]]


def each(rule: Rule) -> Callable[[Iterable[str]], dict[str, str | None]]:
    """Return a rule for one name as one for many."""
    return lambda names: {name: rule(name) for name in names}


@dataclass(frozen=True)
class Family:
    """How the torch files of a family of networks are written, and what networks they are for.

    Attributes:
        name: for messages.
        modules: names of layers with weights, in order -> layer to torch module, or to `None`.
        sign: a tensor that its files have, and those of no family after it in `RULES`.
        epsilon: of BatchNorm, where its files expect it.
        preprocessing: mode that its public files expect, if they do not say themselves; `None` where they
            differ.
        auxiliary: first parts of names of heads that only training needs.
        advice: how a builder makes the network of these files, for messages.
    """

    name: str
    modules: Callable[[Iterable[str]], dict[str, str | None]]
    sign: str
    epsilon: float = 1e-5
    preprocessing: Callable[[Shapes], str | None] = lambda shapes: "torch"
    auxiliary: tuple[str, ...] = ()
    advice: str = "Torch's is built with form='torchvision', where the builder has that option."


_BLOCK = re.compile(r"conv(\d+)_block(\d+)_(\d)_(conv|bn)")


def _residual(shortcut: str, top: str, stem: tuple[str, str] = ("conv1", "bn1")) -> Rule:
    def rule(name: str) -> str | None:
        fixed = {"conv1_conv": stem[0], "conv1_bn": stem[1], "predictions": top}
        if name in fixed:
            return fixed[name]
        match = _BLOCK.fullmatch(name)
        if not match:
            return None
        stage, block, index, kind = match.groups()
        part = f"{shortcut}.{0 if kind == 'conv' else 1}" if index == "0" else f"{kind}{index}"
        return f"layer{int(stage) - 1}.{int(block) - 1}.{part}"

    return rule


def _transformers_resnet(name: str) -> str | None:
    parts = {"conv": "convolution", "bn": "normalization"}
    fixed = {
        "conv1_conv": "resnet.embedder.embedder.convolution",
        "conv1_bn": "resnet.embedder.embedder.normalization",
        "predictions": "classifier.1",
    }
    match = _BLOCK.fullmatch(name)
    if not match:
        return fixed.get(name)
    stage, block, index, kind = match.groups()
    part = "shortcut" if index == "0" else f"layer.{int(index) - 1}"
    return f"resnet.encoder.stages.{int(stage) - 2}.layers.{int(block) - 1}.{part}.{parts[kind]}"


def _stem_of_imagenet(shapes: Shapes) -> str | None:
    """Tell networks for ImageNet from those for small images, which were normalised in many ways."""
    return "torch" if shapes.get("conv1.weight", ())[2:] == (7, 7) else None


def _unknown(shapes: Shapes) -> None:
    return None


_VGG_CONV = re.compile(r"block(\d)_conv(\d)(_bn)?")


def _vgg(top: Mapping[str, str]) -> Callable[[Iterable[str]], dict[str, str | None]]:
    """Return the rule for modules numbered through: convolution, BatchNorm if any, ReLU; pooling."""

    def modules(names: Iterable[str]) -> dict[str, str | None]:
        names = list(names)
        step = 3 if any(name.endswith("_bn") for name in names) else 2
        places, index, block = {}, 0, "1"
        for name in names:
            match = _VGG_CONV.fullmatch(name)
            if not match or match[3]:
                continue
            index += match[1] != block
            block = match[1]
            places[name], places[f"{name}_bn"] = f"features.{index}", f"features.{index + 1}"
            index += step
        return {name: places.get(name, top.get(name)) for name in names}

    return modules


_ALEXNET = {
    **{f"conv{number}": f"features.{index}" for number, index in enumerate((0, 3, 6, 8, 10), 1)},
    "fc6": "classifier.1",
    "fc7": "classifier.4",
    "predictions": "classifier.6",
}

_GOOGLENET_BRANCHES = {
    "1x1": "branch1",
    "3x3_reduce": "branch2.0",
    "3x3": "branch2.1",
    "5x5_reduce": "branch3.0",
    "5x5": "branch3.1",
    "pool_proj": "branch4.1",
}
_GOOGLENET_FIXED = {
    "conv1": "conv1",
    "conv2_reduce": "conv2",
    "conv2": "conv3",
    "auxiliary1_reduce": "aux1.conv",
    "auxiliary2_reduce": "aux2.conv",
}
_GOOGLENET_DENSE = {
    "predictions": "fc",
    **{f"auxiliary{n}_fc": f"aux{n}.fc1" for n in (1, 2)},
    **{f"auxiliary{n}_predictions": f"aux{n}.fc2" for n in (1, 2)},
}


def _googlenet(name: str) -> str | None:
    unit, _, kind = name.rpartition("_")
    if name in _GOOGLENET_DENSE or kind not in ("conv", "bn"):
        return _GOOGLENET_DENSE.get(name)
    if unit in _GOOGLENET_FIXED:
        return f"{_GOOGLENET_FIXED[unit]}.{kind}"
    match = re.fullmatch(r"inception_(\d\w)_(\w+)", unit)
    if not match or match[2] not in _GOOGLENET_BRANCHES:
        return None
    return f"inception{match[1]}.{_GOOGLENET_BRANCHES[match[2]]}.{kind}"


def _units_of_inception_v3() -> list[str]:
    """Return torch's names of the convolutions in the order in which ours are numbered."""
    kinds = {
        "5b 5c 5d": "1x1 5x5_1 5x5_2 3x3dbl_1 3x3dbl_2 3x3dbl_3 _pool",
        "6a": "3x3 3x3dbl_1 3x3dbl_2 3x3dbl_3",
        "6b 6c 6d 6e": ("1x1 7x7_1 7x7_2 7x7_3 7x7dbl_1 7x7dbl_2 7x7dbl_3 7x7dbl_4 7x7dbl_5 _pool"),
        "7a": "3x3_1 3x3_2 7x7x3_1 7x7x3_2 7x7x3_3 7x7x3_4",
        "7b 7c": "1x1 3x3_1 3x3_2a 3x3_2b 3x3dbl_1 3x3dbl_2 3x3dbl_3a 3x3dbl_3b _pool",
    }
    stem = [f"Conv2d_{name}" for name in ("1a_3x3", "2a_3x3", "2b_3x3", "3b_1x1", "4a_3x3")]
    return stem + [
        f"Mixed_{module}.branch{unit}"
        for modules, units in kinds.items()
        for module in modules.split()
        for unit in units.split()
    ]


_INCEPTION_V3 = {
    f"{layer}{f'_{number}' if number else ''}": f"{unit}.{kind}"
    for number, unit in enumerate(_units_of_inception_v3())
    for layer, kind in (("conv2d", "conv"), ("batch_normalization", "bn"))
} | {"predictions": "fc"}


def _minus_one_to_one(shapes: Shapes) -> str:
    """Pixels are scaled in torchvision's usual way, then by the network to [-1, 1] (`transform_input`)."""
    return "tf"


RULES: tuple[Family, ...] = (
    # github.com/akamaster/pytorch_resnet_cifar10, github.com/kuangliu/pytorch-cifar; before
    # "resnet", whose sign its files have too
    Family(
        "resnet for CIFAR",
        each(_residual("shortcut", "linear")),
        "linear.weight",
        preprocessing=_unknown,
        advice="Build it with the `shortcut` and the `batch_norm` of the file.",
    ),
    # torchvision and timm: ResNet, ResNeXt, Wide ResNet; and networks for CIFAR that follow their names
    Family(
        "resnet",
        each(_residual("downsample", "fc")),
        "layer1.0.conv1.weight",
        preprocessing=_stem_of_imagenet,
    ),
    Family(
        "resnet of transformers", each(_transformers_resnet), "resnet.embedder.embedder.convolution.weight"
    ),
    Family(
        "alexnet",
        each(_ALEXNET.get),
        "classifier.4.weight",
        advice="Torch's is built with form='single'.",
    ),
    Family(
        "vgg",
        _vgg({"fc1": "classifier.0", "fc2": "classifier.3", "predictions": "classifier.6"}),
        "classifier.3.weight",
        advice="Build it with the `batch_norm` of the file.",
    ),
    Family(
        "vgg of timm",
        _vgg({"fc1": "pre_logits.fc1", "fc2": "pre_logits.fc2", "predictions": "head.fc"}),
        "pre_logits.fc1.weight",
        advice="Build it with the `batch_norm` of the file.",
    ),
    Family(
        "googlenet",
        each(_googlenet),
        "inception3a.branch1.conv.weight",
        epsilon=1e-3,
        preprocessing=_minus_one_to_one,
        auxiliary=("aux1", "aux2"),
        advice="Torch's is built with batch_norm=True.",
    ),
    Family(
        "inception_v3",
        each(_INCEPTION_V3.get),
        "Mixed_5b.branch1x1.conv.weight",
        epsilon=1e-3,
        preprocessing=_minus_one_to_one,
        auxiliary=("AuxLogits",),
    ),
)
