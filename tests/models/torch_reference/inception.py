"""GoogLeNet with BatchNorm (https://arxiv.org/abs/1409.4842, as torchvision has it), and Inception v3."""

from functools import partial

import torch
from torch import nn
from torch.nn import functional


class Unit(nn.Module):
    """Convolution, BatchNorm with epsilon 1e-3, ReLU."""

    def __init__(self, inputs: int, outputs: int, size, stride=1, padding=0):
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, size, stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(outputs, eps=1e-3)

    def forward(self, x):
        return functional.relu(self.bn(self.conv(x)))


class Inception(nn.Module):
    """1x1; 1x1, 3x3; 1x1, 3x3 (5x5 in the paper); pool, 1x1."""

    def __init__(self, inputs: int, one: int, three, five, pool: int):
        super().__init__()
        self.branch1 = Unit(inputs, one, 1)
        self.branch2 = nn.Sequential(Unit(inputs, three[0], 1), Unit(*three, 3, 1, 1))
        self.branch3 = nn.Sequential(Unit(inputs, five[0], 1), Unit(*five, 3, 1, 1))
        self.branch4 = nn.Sequential(nn.MaxPool2d(3, 1, 1, ceil_mode=True), Unit(inputs, pool, 1))

    def forward(self, x):
        return torch.cat([self.branch1(x), self.branch2(x), self.branch3(x), self.branch4(x)], 1)


class Auxiliary(nn.Module):
    """The classifier on the side, which only training uses."""

    def __init__(self, inputs: int, classes: int):
        super().__init__()
        self.conv = Unit(inputs, 128, 1)
        self.fc1, self.fc2 = nn.Linear(128 * 4 * 4, 1024), nn.Linear(1024, classes)

    def forward(self, x):
        x = self.conv(functional.adaptive_avg_pool2d(x, 4)).flatten(1)
        return self.fc2(functional.relu(self.fc1(x)))


class GoogLeNet(nn.Module):
    """Stem, nine Inception modules in three stages, global average, linear layer."""

    MODULES = {
        "3a": (192, 64, (96, 128), (16, 32), 32),
        "3b": (256, 128, (128, 192), (32, 96), 64),
        "4a": (480, 192, (96, 208), (16, 48), 64),
        "4b": (512, 160, (112, 224), (24, 64), 64),
        "4c": (512, 128, (128, 256), (24, 64), 64),
        "4d": (512, 112, (144, 288), (32, 64), 64),
        "4e": (528, 256, (160, 320), (32, 128), 128),
        "5a": (832, 256, (160, 320), (32, 128), 128),
        "5b": (832, 384, (192, 384), (48, 128), 128),
    }

    def __init__(self, classes: int = 1000, auxiliary: bool = False, transform_input: bool = False):
        super().__init__()
        self.transform_input = transform_input
        self.conv1, self.conv2 = Unit(3, 64, 7, 2, 3), Unit(64, 64, 1)
        self.conv3 = Unit(64, 192, 3, 1, 1)
        for name, numbers in self.MODULES.items():
            setattr(self, f"inception{name}", Inception(*numbers))
        if auxiliary:
            self.aux1, self.aux2 = Auxiliary(512, classes), Auxiliary(528, classes)
        self.fc = nn.Linear(1024, classes)

    def forward(self, x):
        if self.transform_input:  # from the mean and deviation of ImageNet to [-1, 1]
            scale = x.new_tensor([0.229, 0.224, 0.225])[:, None, None] / 0.5
            x = x * scale + (x.new_tensor([0.485, 0.456, 0.406])[:, None, None] - 0.5) / 0.5
        pool = partial(functional.max_pool2d, stride=2, ceil_mode=True)
        x = pool(self.conv3(self.conv2(pool(self.conv1(x), 3))), 3)
        for name in self.MODULES:
            x = getattr(self, f"inception{name}")(x)
            x = pool(x, 3) if name == "3b" else pool(x, 2) if name == "4e" else x
        return self.fc(x.mean((2, 3)))


NETWORKS = {
    "googlenet": GoogLeNet,
    "googlenet_aux": partial(GoogLeNet, auxiliary=True),
    "googlenet_transform": partial(GoogLeNet, transform_input=True),
}
