"""Write a network with random weights, images and their logits into a folder."""

import argparse
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from torch_reference import inception, inception_v3, plain, residual
from torch_reference.randomize import randomize

NETWORKS = residual.NETWORKS | plain.NETWORKS | inception.NETWORKS | inception_v3.NETWORKS
FORMATS = {
    "safetensors": save_file,
    "pth": torch.save,
    "legacy": lambda state, path: torch.save(state, path, _use_new_zipfile_serialization=False),
}


def main() -> None:
    """Write `NETWORK.FORMAT` and, for each size, `SIZE.npz` with images (n, h, w, 3) and logits."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("network", choices=NETWORKS)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--sizes", nargs="+", type=int, default=[224], help="side of the images, in pixels")
    parser.add_argument("--formats", nargs="+", choices=FORMATS, default=["safetensors"])
    parser.add_argument("--classes", type=int, default=1000)
    parser.add_argument("--images", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    torch.set_num_threads(2)
    model = NETWORKS[given.network](classes=given.classes)
    randomize(model, min(given.sizes), given.seed)
    for ending in given.formats:
        FORMATS[ending](model.state_dict(), given.folder / f"{given.network}.{ending}")
    for size in given.sizes:
        images = torch.randn(given.images, 3, size, size)
        with torch.no_grad():  # in float64, so that only the rounding of what is tested counts
            logits = model.double()(images.double())
        model.float()
        arrays = {"images": images.permute(0, 2, 3, 1).numpy(), "logits": logits.float().numpy()}
        np.savez(given.folder / f"{size}.npz", **arrays)
        print(f"{given.network} {size} px: logits {logits.std():.2f} +- up to {logits.abs().max():.1f}")
    print(f"parameters {sum(p.numel() for p in model.parameters()):,}")


main()
