"""Batch-hard and semi-hard mining against pytorch-metric-learning and the naive cube.

Random embeddings of length 1, four of each identity. "mine" is from embeddings to triplets, distances
included; "step" goes on to the triplet loss and its gradient by the embeddings. pytorch-metric-learning has
two kinds of semi-hard mining, neither quite ours (each anchor with each of its positives, and the nearest
negative beyond): one triplet an anchor, with the hardest positive (`BatchEasyHardMiner`), which is less work;
and all semi-hard triplets (`TripletMarginMiner`), which makes a cube of b³ bytes, hence up to 1,024 only. The
naive cube is ours as written down at once, over (b, b, b) distances, compiled as ours is.

Each arm runs in a process of its own, in turn, from the smallest batch to the largest. Memory is the highest
point of the resident set above what it was after a first small batch, step included. Figures are medians, of
the repetitions in a process and then over the rounds. On a machine that does other work give `--threads 1`:
torch's threads wait for each other, and those that the machine holds up hold up all.

Run: python benchmarks/triplet_mining.py [--batches 128,256,512,1024,2048,4096] [--rounds 3] [--threads 2]
"""

import argparse
import json
import os
import statistics
import time

import numpy as np
from common import Usage, alternate, median, print_table, resident, run_arm, verdict

OURS, THEIRS, ALL, NAIVE = "kerasvision", "metric-learning", "metric-learning, all", "naive cube"
ARMS = {"batch_hard": (OURS, THEIRS), "semi_hard": (OURS, THEIRS, ALL, NAIVE)}
DIMENSIONS, PER_IDENTITY, MARGIN = 128, 4, 0.2
MOST_CUBE, SECONDS, REPETITIONS = 1024, 1.0, (3, 30)
CUBE_WANTED, MEGABYTES = 10.0, {1024: 100, 2048: 300}


def made_up(batch: int) -> tuple[np.ndarray, np.ndarray]:
    """Return labels and embeddings."""
    random = np.random.default_rng(batch)
    x = random.normal(size=(batch, DIMENSIONS)).astype(np.float32)
    return np.repeat(np.arange(batch // PER_IDENTITY), PER_IDENTITY), x / np.linalg.norm(
        x, axis=1, keepdims=True
    )


def tensorflow_arm(mining: str, naive: bool):
    """Return what gives, for a batch, functions without arguments: mine and step."""
    import tensorflow as tf

    from kerasvision import embedding

    def cube(labels, distances):
        apart = labels[:, None] != labels[None, :]
        beyond = apart[:, None, :] & (distances[:, None, :] > distances[:, :, None])
        infinite = tf.fill(tf.shape(distances), float("inf"))
        nearest = tf.argmin(tf.where(beyond, distances[:, None, :], infinite[:, None, :]), 2, tf.int32)
        farthest = tf.argmax(tf.where(apart, distances, -infinite), 1, tf.int32)
        negatives = tf.where(tf.reduce_any(beyond, 2), nearest, farthest[:, None])
        pairs = tf.where(~apart & ~tf.eye(tf.size(labels), dtype=tf.bool))
        anchors, positives = tf.unstack(tf.cast(pairs, tf.int32), axis=1)
        return embedding.Triplets(anchors, positives, tf.gather_nd(negatives, pairs))

    choose = cube if naive else getattr(embedding, mining)

    @tf.function(autograph=False)
    def mine(labels, x):
        return choose(labels, embedding.pairwise_distances(x))

    @tf.function(autograph=False)
    def step(labels, x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            distances = embedding.pairwise_distances(x)
            triplets = choose(labels, tf.stop_gradient(distances))
            loss = tf.reduce_mean(embedding.triplet_loss(distances, triplets, margin=MARGIN))
        return tape.gradient(loss, x)

    def on(labels, x):
        labels, x = tf.constant(labels, tf.int32), tf.constant(x)
        return lambda: mine(labels, x)[2].numpy(), lambda: step(labels, x).numpy()

    return on


def torch_arm(mining: str, every: bool):
    """Return the same of pytorch-metric-learning."""
    import torch
    from pytorch_metric_learning import distances, losses, miners, reducers

    distance = distances.LpDistance(normalize_embeddings=False)
    if mining == "batch_hard":
        miner = miners.BatchHardMiner(distance=distance)
    elif every:
        miner = miners.TripletMarginMiner(MARGIN, type_of_triplets="semihard", distance=distance)
    else:
        miner = miners.BatchEasyHardMiner("hard", "semihard", distance=distance)
    loss = losses.TripletMarginLoss(MARGIN, distance=distance, reducer=reducers.MeanReducer())

    def on(labels, x):
        labels, x = torch.tensor(labels), torch.tensor(x)

        def mine():
            with torch.no_grad():
                return miner(x, labels)

        def step():
            leaf = x.clone().requires_grad_()
            mined = miner(leaf, labels)
            # That miner gives (anchors, positives, anchors, negatives), which the loss would cross again.
            loss(leaf, labels, (mined[0], mined[1], mined[-1])).backward()
            return leaf.grad

        return mine, step

    return on


def measure(arm: str, mining: str, batches: list[int], threads: int) -> dict[str, float]:
    """Return seconds of both parts and MB, by batch."""
    if arm in (OURS, NAIVE):
        import tensorflow as tf

        tf.config.threading.set_intra_op_parallelism_threads(threads)
        on = tensorflow_arm(mining, arm == NAIVE)
    else:
        import torch

        torch.set_num_threads(threads)
        on = torch_arm(mining, arm == ALL)
    for function in on(*made_up(64)):
        function()
    start, found = resident("VmRSS"), {}
    for batch in batches:
        with Usage() as usage:
            for part, function in zip(("mine", "step"), on(*made_up(batch)), strict=True):
                function()
                found[f"{part} {batch}"] = statistics.median(repeated(function))
        found[f"memory {batch}"] = usage.peak - start
    return found


def repeated(function) -> list[float]:
    """Return the seconds of each of some calls."""
    seconds: list[float] = []
    while len(seconds) < REPETITIONS[0] or (len(seconds) < REPETITIONS[1] and sum(seconds) < SECONDS):
        start = time.perf_counter()
        function()
        seconds.append(time.perf_counter() - start)
    return seconds


def compare(mining: str, batches: list[int], rounds: int, threads: int) -> None:
    """Print a table of one kind of mining, and what was wanted."""
    few = [batch for batch in batches if batch <= MOST_CUBE]
    sizes = {arm: few if arm in (ALL, NAIVE) else batches for arm in ARMS[mining]}

    def run(arm):
        text = ",".join(map(str, sizes[arm]))
        return run_arm(__file__, arm, mining=mining, batches=text, threads=threads)

    results = alternate(ARMS[mining], run, rounds)

    def figure(arm: str, key: str) -> float:
        return median(results[arm], key)

    rows = []
    for batch in batches:
        for arm in (arm for arm in ARMS[mining] if batch in sizes[arm]):
            times = [figure(arm, f"{part} {batch}") for part in ("mine", "step")]
            ratios = [
                t / figure(OURS, f"{part} {batch}") for part, t in zip(("mine", "step"), times, strict=True)
            ]
            memory = figure(arm, f"memory {batch}")
            if arm == OURS:
                wanted = MEGABYTES.get(batch) if mining == "semi_hard" else None
                said = f"memory {verdict(memory, wanted, at_least=False)}" if wanted else ""
            else:
                said = verdict(min(ratios), CUBE_WANTED if arm == NAIVE and batch == MOST_CUBE else 1.0)
            milliseconds = (f"{1000 * t:.2f} ({ratio:.1f} x)" for t, ratio in zip(times, ratios, strict=True))
            rows.append((batch, arm, *milliseconds, f"{memory:.0f}", said))
    print(f"{mining}: milliseconds, and how many times those of kerasvision; MB")
    print_table(("batch", "", "mine", "step", "MB", ""), rows)


def main() -> None:
    """Print a table of each kind of mining."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--batches", default="128,256,512,1024,2048,4096")
    parser.add_argument("--mining", choices=tuple(ARMS), help="only this kind")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--arm", choices=(OURS, THEIRS, ALL, NAIVE), help=argparse.SUPPRESS)
    given = parser.parse_args()
    batches = sorted(map(int, given.batches.split(",")))
    if given.arm:
        print(json.dumps(measure(given.arm, given.mining, batches, given.threads)))
        return
    for mining in [given.mining] if given.mining else ARMS:
        compare(mining, batches, given.rounds, given.threads)


if __name__ == "__main__":
    main()
