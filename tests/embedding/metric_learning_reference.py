"""What pytorch-metric-learning says of batches: `python metric_learning_reference.py IN.npz OUT.npz`.

A program of its own: torch and TensorFlow do not share a process.
"""

import sys

import numpy as np
import torch
from pytorch_metric_learning import distances, losses, miners, reducers

DISTANCES = {
    "euclidean": distances.LpDistance(normalize_embeddings=False, p=2, power=1),
    "squared": distances.LpDistance(normalize_embeddings=False, p=2, power=2),
}
MEAN = reducers.MeanReducer


def by_distance(name: str, embeddings, labels) -> dict:
    distance = DISTANCES[name]
    found = {"distances": distance(embeddings)}
    for kind, miner in {
        "batch_hard": miners.BatchHardMiner(distance=distance),
        "semi_hard": miners.TripletMarginMiner(margin=1e6, type_of_triplets="semihard", distance=distance),
        "one_semi_hard": miners.BatchEasyHardMiner("hard", "semihard", distance=distance),
    }.items():
        mined = miner(embeddings, labels)
        # The last gives (anchors, positives, anchors, negatives).
        found[kind] = torch.stack([mined[0], mined[1], mined[-1]])
    for kind, options in {"hinge": {"margin": 0.3}, "soft": {"margin": 0.0, "smooth_loss": True}}.items():
        loss = losses.TripletMarginLoss(**options, distance=distance, reducer=MEAN())
        active = losses.TripletMarginLoss(**options, distance=distance)
        batch_hard = miners.BatchHardMiner(distance=distance)(embeddings, labels)
        found |= graded(f"all {kind}", lambda x, loss=loss: loss(x, labels), embeddings)
        found |= graded(f"active {kind}", lambda x, loss=active: loss(x, labels), embeddings)
        found |= graded(
            f"batch_hard {kind}", lambda x, loss=loss, mined=batch_hard: loss(x, labels, mined), embeddings
        )
    return {f"{name} {key}": value for key, value in found.items()}


def graded(name: str, loss, embeddings) -> dict:
    """Return a loss and its gradient."""
    x = embeddings.clone().requires_grad_()
    value = loss(x)
    value.backward()
    return {f"{name} loss": value.detach(), f"{name} gradient": x.grad}


def by_similarity(embeddings, labels) -> dict:
    plain = losses.MultiSimilarityLoss(alpha=2, beta=50, base=0.5, reducer=MEAN())
    miner = miners.MultiSimilarityMiner(epsilon=0.1)
    circle = losses.CircleLoss(m=0.4, gamma=80, reducer=MEAN())
    found = graded("multi_similarity plain", lambda x: plain(x, labels), embeddings)
    found |= graded(
        "multi_similarity mined", lambda x: plain(x, labels, miner(embeddings, labels)), embeddings
    )
    return found | graded("circle", lambda x: circle(x, labels), embeddings)


def by_class(embeddings, labels, directions) -> dict:
    found = {}
    for name, loss in {
        "arcface": losses.ArcFaceLoss(len(directions), embeddings.shape[1], margin=np.degrees(0.5), scale=64),
        "cosface": losses.CosFaceLoss(len(directions), embeddings.shape[1], margin=0.35, scale=64),
    }.items():
        loss.W.data = directions.T.clone()  # a column a class there
        found |= graded(name, lambda x, loss=loss: loss(x, labels), embeddings)
        found[f"{name} directions"] = loss.W.grad.T
    return found


def main() -> None:
    given = {key: torch.tensor(value) for key, value in np.load(sys.argv[1]).items()}
    names = sorted({key.split("/")[0] for key in given})
    found = {}
    for name in names:
        x, labels, directions = (given[f"{name}/{key}"] for key in ("embeddings", "labels", "directions"))
        parts = [by_distance(kind, x, labels) for kind in DISTANCES]
        parts += [by_similarity(x, labels), by_class(x, labels, directions)]
        found |= {f"{name}/{key}": value.numpy() for part in parts for key, value in part.items()}
    np.savez(sys.argv[2], **found)


if __name__ == "__main__":
    main()
