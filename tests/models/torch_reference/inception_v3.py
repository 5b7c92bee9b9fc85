"""Inception v3 (https://arxiv.org/abs/1512.00567) as torchvision has it; its auxiliary head is never run."""

import torch
from torch import nn
from torch.nn import functional

from torch_reference.inception import Unit

ACROSS, DOWN, ACROSS_3, DOWN_3 = (1, 7), (7, 1), (1, 3), (3, 1)


def chain(name: str, *specs: tuple) -> list[tuple]:
    """Return (name, outputs, kernel) of units that follow one another, numbered as torchvision does."""
    if len(specs) == 1:
        return [(name, *specs[0])]
    return [(f"{name}_{number}", *spec) for number, spec in enumerate(specs, 1)]


def with_5x5(pool: int) -> list[list]:
    return [
        chain("1x1", (64, 1)),
        chain("5x5", (48, 1), (64, 5)),
        chain("3x3dbl", (64, 1), (96, 3), (96, 3)),
        chain("_pool", (pool, 1)),
    ]


def with_7x7(n: int) -> list[list]:
    return [
        chain("1x1", (192, 1)),
        chain("7x7", (n, 1), (n, ACROSS), (192, DOWN)),
        chain("7x7dbl", (n, 1), (n, DOWN), (n, ACROSS), (n, DOWN), (192, ACROSS)),
        chain("_pool", (192, 1)),
    ]


def split(name: str) -> list[tuple]:
    """Return two units beside each other, which end a branch."""
    return [[(f"{name}a", 384, ACROSS_3), (f"{name}b", 384, DOWN_3)]]


WIDE = [
    chain("1x1", (320, 1)),
    [("3x3_1", 384, 1), *split("3x3_2")],
    [("3x3dbl_1", 448, 1), ("3x3dbl_2", 384, 3), *split("3x3dbl_3")],
    chain("_pool", (192, 1)),
]
TO_17 = [chain("3x3", (384, 3)), chain("3x3dbl", (64, 1), (96, 3), (96, 3)), []]
TO_8 = [chain("3x3", (192, 1), (320, 3)), chain("7x7x3", (192, 1), (192, ACROSS), (192, DOWN), (192, 3)), []]
# name -> inputs, branches, whether it halves the map
MODULES = {
    "5b": (192, with_5x5(32), False),
    "5c": (256, with_5x5(64), False),
    "5d": (288, with_5x5(64), False),
    "6a": (288, TO_17, True),
    "6b": (768, with_7x7(128), False),
    "6c": (768, with_7x7(160), False),
    "6d": (768, with_7x7(160), False),
    "6e": (768, with_7x7(192), False),
    "7a": (768, TO_8, True),
    "7b": (1280, WIDE, False),
    "7c": (2048, WIDE, False),
}
STEM = {
    "1a_3x3": (3, 32, 3, 2),
    "2a_3x3": (32, 32, 3),
    "2b_3x3": (32, 64, 3, 1, 1),
    "3b_1x1": (64, 80, 1),
    "4a_3x3": (80, 192, 3),
}


class Mixed(nn.Module):
    """Branches side by side; an empty one is a max pooling, `_pool` starts with an average over zeros too."""

    def __init__(self, inputs: int, branches: list[list], halve: bool):
        super().__init__()
        self.branches = branches
        for branch in branches:
            channels = inputs
            for step in branch:
                beside = step if isinstance(step, list) else [step]
                strided = halve and step is branch[-1]
                for name, outputs, kernel in beside:
                    sides = kernel if isinstance(kernel, tuple) else (kernel, kernel)
                    padding = 0 if strided else tuple(side // 2 for side in sides)
                    setattr(
                        self, f"branch{name}", Unit(channels, outputs, kernel, 2 if strided else 1, padding)
                    )
                channels = beside[0][1]

    def forward(self, x):
        return torch.cat([self.along(branch, x) for branch in self.branches], 1)

    def along(self, branch: list, x):
        if not branch:
            return functional.max_pool2d(x, 3, 2)
        if branch[0][0] == "_pool":
            x = functional.avg_pool2d(x, 3, 1, 1)
        for step in branch:
            beside = step if isinstance(step, list) else [step]
            x = torch.cat([getattr(self, f"branch{name}")(x) for name, _, _ in beside], 1)
        return x


class InceptionV3(nn.Module):
    """Stem, eleven modules, global average, linear layer; the weights of an auxiliary head lie beside."""

    def __init__(self, classes: int = 1000):
        super().__init__()
        for name, numbers in STEM.items():
            setattr(self, f"Conv2d_{name}", Unit(*numbers))
        for name, numbers in MODULES.items():
            setattr(self, f"Mixed_{name}", Mixed(*numbers))
        self.AuxLogits = nn.Module()
        self.AuxLogits.conv0 = Unit(768, 128, 1)
        self.AuxLogits.fc = nn.Linear(768, classes)
        self.fc = nn.Linear(2048, classes)

    def forward(self, x):
        for name in STEM:
            x = getattr(self, f"Conv2d_{name}")(x)
            x = functional.max_pool2d(x, 3, 2) if name in ("2b_3x3", "4a_3x3") else x
        for name in MODULES:
            x = getattr(self, f"Mixed_{name}")(x)
        return self.fc(x.mean((2, 3)))


NETWORKS = {"inception_v3": InceptionV3}
