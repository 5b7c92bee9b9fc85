"""ResNet, ResNeXt and wide ResNet: https://arxiv.org/abs/1512.03385, 1611.05431, 1605.07146.

The stride of a bottleneck is in its 3x3 convolution ("v1.5").
"""

from functools import partial

from torch import nn

conv = partial(nn.Conv2d, bias=False)


class Block(nn.Module):
    """A residual module: the branch of a subclass, added to its shortcut."""

    expansion = 1

    def __init__(self, inputs: int, width: int, outputs: int, stride: int, groups: int):
        super().__init__()
        self.make_branch(inputs, width, outputs, stride, groups)
        self.relu = nn.ReLU()
        self.downsample = None
        if stride > 1 or inputs != outputs:
            self.downsample = nn.Sequential(conv(inputs, outputs, 1, stride), nn.BatchNorm2d(outputs))

    def forward(self, x):
        shortcut = x if self.downsample is None else self.downsample(x)
        return self.relu(shortcut + self.branch(x))


class Basic(Block):
    """Two 3x3 convolutions."""

    def make_branch(self, inputs, width, outputs, stride, groups):
        self.conv1, self.bn1 = conv(inputs, width, 3, stride, 1), nn.BatchNorm2d(width)
        self.conv2, self.bn2 = conv(width, outputs, 3, 1, 1), nn.BatchNorm2d(outputs)

    @property
    def last_norm(self):
        return self.bn2

    def branch(self, x):
        return self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))


class Bottleneck(Block):
    """1x1 to the width, (grouped) 3x3, 1x1 to the outputs."""

    expansion = 4

    def make_branch(self, inputs, width, outputs, stride, groups):
        self.conv1, self.bn1 = conv(inputs, width, 1), nn.BatchNorm2d(width)
        self.conv2, self.bn2 = conv(width, width, 3, stride, 1, groups=groups), nn.BatchNorm2d(width)
        self.conv3, self.bn3 = conv(width, outputs, 1), nn.BatchNorm2d(outputs)

    @property
    def last_norm(self):
        return self.bn3

    def branch(self, x):
        x = self.relu(self.bn1(self.conv1(x)))
        return self.bn3(self.conv3(self.relu(self.bn2(self.conv2(x)))))


class ResNet(nn.Module):
    """Stem, four stages, global average, linear layer."""

    def __init__(self, kind: type[Block], depths, classes: int = 1000, groups: int = 1, widen: float = 1.0):
        super().__init__()
        self.conv1, self.bn1 = conv(3, 64, 7, 2, 3), nn.BatchNorm2d(64)
        self.relu, self.maxpool = nn.ReLU(), nn.MaxPool2d(3, 2, 1)
        inputs = 64
        for stage, depth in enumerate(depths):
            filters = 64 * 2**stage
            outputs, blocks = filters * kind.expansion, []
            for block in range(depth):
                stride = 2 if stage and not block else 1
                blocks.append(kind(inputs, int(filters * widen), outputs, stride, groups))
                inputs = outputs
            setattr(self, f"layer{stage + 1}", nn.Sequential(*blocks))
        self.fc = nn.Linear(inputs, classes)

    def forward(self, x):
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(x.mean((2, 3)))


NETWORKS = {
    "resnet18": partial(ResNet, Basic, (2, 2, 2, 2)),
    "resnet34": partial(ResNet, Basic, (3, 4, 6, 3)),
    "resnet50": partial(ResNet, Bottleneck, (3, 4, 6, 3)),
    "resnet101": partial(ResNet, Bottleneck, (3, 4, 23, 3)),
    "resnet152": partial(ResNet, Bottleneck, (3, 8, 36, 3)),
    # 32 groups of 4 channels: the 3x3 of the first stage is 128 wide.
    "resnext50_32x4d": partial(ResNet, Bottleneck, (3, 4, 6, 3), groups=32, widen=2.0),
    "wide_resnet50_2": partial(ResNet, Bottleneck, (3, 4, 6, 3), widen=2.0),
}
