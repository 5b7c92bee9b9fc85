"""Random weights with which a deep network still gives answers of a sensible size."""

import torch
from torch import nn

LOGITS_DEVIATION = 2.0
# As in trained networks, a module of a residual network adds little. With 1 in place of 0.3 rounding errors
# grow from module to module: the logits of ResNet-152 in float32 and float64 differ by 3e-4, else by 4e-5.
BRANCH = 0.3


@torch.no_grad()
def randomize(model: nn.Module, image_size: int, seed: int = 0) -> None:
    """Give a network random weights and BatchNorm statistics, so that no swap and no epsilon goes unnoticed.

    The deviations of the channels before a BatchNorm span two orders of magnitude, so that an epsilon
    of 1e-3 in place of 1e-5 changes the answers; the statistics are those of a random batch, then disturbed.
    The last layer is scaled to logits with a deviation of 2.

    Args:
        model: any network of this package.
        image_size: side in pixels of the batch that the statistics come from.
        seed: of everything random.
    """
    torch.manual_seed(seed)
    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            if module.bias is not None:
                module.bias.normal_(0, 0.1)
        if isinstance(module, nn.Conv2d) and module.bias is None:
            module.weight *= 10 ** torch.empty(len(module.weight), 1, 1, 1).uniform_(-2, 0)
        if isinstance(module, nn.BatchNorm2d):
            module.weight.uniform_(0.3, 1.2)
            module.bias.normal_(0, 0.2)
            module.momentum = 1.0  # the statistics of one batch, as they are
    for module in model.modules():
        if hasattr(module, "last_norm"):
            module.last_norm.weight *= BRANCH
    images = torch.randn(8, 3, image_size, image_size)
    model.train()
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.eval()
    model(images)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            deviation = module.running_var.sqrt()
            module.running_mean += 0.2 * deviation * torch.randn_like(deviation)
            module.running_var *= torch.empty_like(deviation).uniform_(0.7, 1.4)
    model.eval()
    last = [module for module in model.modules() if isinstance(module, nn.Linear)][-1]
    last.weight *= LOGITS_DEVIATION / model(images).std()
