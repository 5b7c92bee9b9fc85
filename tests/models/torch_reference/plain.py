"""AlexNet (the single column of https://arxiv.org/abs/1404.5997) and VGG (https://arxiv.org/abs/1409.1556)."""

from functools import partial

from torch import nn


class Plain(nn.Module):
    """Convolutions, a fixed grid by adaptive pooling, three linear layers with dropout."""

    def __init__(self, features, grid: int, classifier):
        super().__init__()
        self.features = nn.Sequential(*features)
        self.avgpool = nn.AdaptiveAvgPool2d(grid)
        self.classifier = nn.Sequential(*classifier)

    def forward(self, x):
        return self.classifier(self.avgpool(self.features(x)).flatten(1))


def alexnet(classes: int = 1000) -> Plain:
    """Return AlexNet with 64, 192, 384, 256, 256 filters."""
    features = [
        *(nn.Conv2d(3, 64, 11, 4, 2), nn.ReLU(), nn.MaxPool2d(3, 2)),
        *(nn.Conv2d(64, 192, 5, 1, 2), nn.ReLU(), nn.MaxPool2d(3, 2)),
        *(nn.Conv2d(192, 384, 3, 1, 1), nn.ReLU()),
        *(nn.Conv2d(384, 256, 3, 1, 1), nn.ReLU()),
        *(nn.Conv2d(256, 256, 3, 1, 1), nn.ReLU(), nn.MaxPool2d(3, 2)),
    ]
    head = [
        *(nn.Dropout(), nn.Linear(256 * 6 * 6, 4096), nn.ReLU()),
        *(nn.Dropout(), nn.Linear(4096, 4096), nn.ReLU()),
        nn.Linear(4096, classes),
    ]
    return Plain(features, 6, head)


def vgg(depths, classes: int = 1000, batch_norm: bool = False) -> Plain:
    """Return a VGG network: `depths` convolutions in each of five stages."""
    features, inputs = [], 3
    for filters, depth in zip((64, 128, 256, 512, 512), depths, strict=True):
        for _ in range(depth):
            norm = [nn.BatchNorm2d(filters)] if batch_norm else []
            features += [nn.Conv2d(inputs, filters, 3, 1, 1), *norm, nn.ReLU()]
            inputs = filters
        features.append(nn.MaxPool2d(2))
    head = [
        *(nn.Linear(512 * 7 * 7, 4096), nn.ReLU(), nn.Dropout()),
        *(nn.Linear(4096, 4096), nn.ReLU(), nn.Dropout()),
        nn.Linear(4096, classes),
    ]
    return Plain(features, 7, head)


DEPTHS = {11: (1, 1, 2, 2, 2), 13: (2, 2, 2, 2, 2), 16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}
NETWORKS = {
    "alexnet": alexnet,
    **{f"vgg{depth}": partial(vgg, depths) for depth, depths in DEPTHS.items()},
    **{f"vgg{depth}_bn": partial(vgg, depths, batch_norm=True) for depth, depths in DEPTHS.items()},
}
