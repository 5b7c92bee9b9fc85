"""How much gradient comes through paths of each length in a residual network.

Section 5 of Veit, Wilber, Belongie, Residual Networks Behave Like Ensembles of Relatively Shallow Networks,
2016, https://arxiv.org/abs/1605.06431. A network of n modules is a sum over 2**n paths: each module is
either passed by its shortcut or gone through. The length of a path is the number of modules it goes through.
"""

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from math import comb

import keras
import numpy as np

from kerasvision.explain.checks import check_task, check_whole, check_whole_numbers
from kerasvision.explain.grad_cam import call_without_squashing
from kerasvision.explain.lesion import flattened, residual_modules
from kerasvision.explain.residual import Located, follow_each_other, locate_residual, needed
from kerasvision.models import graph
from kerasvision.models.folding import fold_batchnorm
from kerasvision.progress import bar


@dataclass(frozen=True)
class PathGradients:
    """Gradients of the loss at the first module through paths of each length.

    Attributes:
        modules: number of residual modules.
        lengths: path lengths that were sampled.
        means: mean norm of the gradient of one path of each length.
        deviations: standard deviation over the samples, mostly some times the mean: few images, those that
            the network is unsure of, bring most of the gradient.
        samples: random pairs of an image and a path for each length.
        whole: mean norm of the ordinary gradient, through all paths together.
    """

    modules: int
    lengths: tuple[int, ...]
    means: tuple[float, ...]
    deviations: tuple[float, ...]
    samples: int
    whole: float

    def to_dict(self) -> dict:
        """Return plain values for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict) -> "PathGradients":
        """Return what `to_dict` was made from."""
        return cls(**{key: tuple(v) if isinstance(v, list) else v for key, v in values.items()})


@dataclass(frozen=True)
class EffectivePaths:
    """Which path lengths the gradient comes from.

    Attributes:
        lengths: path lengths that were sampled.
        shares: share of the gradient from all paths of each of these lengths together; they add up to 1.
        low, high: the shortest range of lengths that holds at least `held` of it.
        held: share of the gradient from that range.
        paths: share of all paths that have such a length.
    """

    lengths: tuple[int, ...]
    shares: tuple[float, ...]
    low: int
    high: int
    held: float
    paths: float

    def to_dict(self) -> dict:
        """Return plain values for JSON."""
        return asdict(self)


def path_lengths(modules: int) -> np.ndarray:
    """Return how the lengths of all paths are distributed: binomial, as each module is gone through or not.

    Args:
        modules: number of residual modules, at least 1.

    Returns:
        (modules + 1,) float64: share of the 2**modules paths that go through 0, 1, … modules.

    Raises:
        ValueError: it is no whole number from 1.

    >>> path_lengths(2)
    array([0.25, 0.5 , 0.25])
    """
    modules = check_whole("modules", modules)
    return np.array([comb(modules, length) / 2**modules for length in range(modules + 1)])


def gradient_by_path_length(
    model: keras.Model,
    images: np.ndarray,
    labels: np.ndarray,
    *,
    lengths: Iterable[int] | None = None,
    samples: int = 256,
    batch_size: int = 32,
    seed: int = 0,
) -> PathGradients:
    """Measure the gradient that reaches the first module through single paths of each length.

    For a length k, k modules are chosen at random. Forward, the network runs as it is. Backward, the gradient
    of the loss goes only through the branch of these modules and only through the shortcut of all others. Its
    norm at the input of the first module is averaged over many images, each with a path of its own.
    BatchNormalization uses its moving statistics.

    Args:
        model: functional classifier with residual modules that follow each other, one image input, and one
            output (batch, classes): logits, or a softmax or sigmoid of them, before which the loss is
            taken.
        images: (n, height, width, channels), as the model takes them.
        labels: (n,) int, the true classes.
        lengths: path lengths to sample, each once; default all, from 0 to the number of modules.
        samples: pairs of an image and a path for each length.
        batch_size: images at a time.
        seed: of the choice of images and paths.

    Returns:
        The mean norms.

    Raises:
        ValueError: the arguments do not fit the model.
    """
    count = len(residual_modules(model))
    lengths = range(count + 1) if lengths is None else lengths
    lengths = tuple(sorted(set(check_whole_numbers("lengths", lengths, most=count))))
    samples, batch_size = check_whole("samples", samples), check_whole("batch_size", batch_size)
    seed = check_whole("seed", seed, least=0)
    images, labels = check_task(flattened(model), images, labels)
    norms = gradient_norms(model)
    rng = np.random.default_rng(seed)
    # The same images for every length, so that lengths differ by their paths only.
    chosen = rng.permutation(np.resize(rng.permutation(len(images)), samples))
    found = []
    with bar("Gradients by path length", len(lengths) + 1) as advance:
        for length in (None, *lengths):
            gates = _whole(samples, count) if length is None else random_gates(samples, count, length, rng)
            found.append(_batched(norms, images[chosen], labels[chosen], gates, batch_size))
            advance(1)
    whole, *by_length = found
    return PathGradients(
        modules=count,
        lengths=lengths,
        means=tuple(float(values.mean()) for values in by_length),
        deviations=tuple(float(values.std()) for values in by_length),
        samples=samples,
        whole=float(whole.mean()),
    )


def effective_path_lengths(gradients: PathGradients, *, held: float = 0.9) -> EffectivePaths:
    """Say which path lengths the gradient comes from: how many paths there are times what each brings.

    Args:
        gradients: of `gradient_by_path_length`.
        held: share of the gradient that the reported range of lengths holds at least, in (0, 1].

    Returns:
        The shares, the shortest such range, and the share of all paths that lies in it. The paper finds that
        a network of 54 modules has almost all from lengths 5 to 17, 0.45 % of its paths.

    Raises:
        ValueError: `held` is not in (0, 1], or no gradient arrived.
    """
    if not 0 < held <= 1:
        raise ValueError(f"`held` must be above 0 and at most 1. Received: {held!r}.")
    numbers = path_lengths(gradients.modules)[list(gradients.lengths)]
    weights = numbers * np.array(gradients.means)
    if not np.isfinite(weights).all():
        raise ValueError("`gradients` are not finite: the network answers with numbers that are not.")
    if not weights.sum() > 0:
        raise ValueError("`gradients` are all 0: the network's loss does not depend on its first module.")
    shares = weights / weights.sum()
    first, last = _shortest_range(shares, held)
    return EffectivePaths(
        lengths=gradients.lengths,
        shares=tuple(map(float, shares)),
        low=gradients.lengths[first],
        high=gradients.lengths[last],
        held=float(shares[first : last + 1].sum()),
        paths=float(numbers[first : last + 1].sum()),
    )


def gradient_norms(model: keras.Model) -> Callable:
    """Return a compiled function (images, labels, through, past) -> (batch,) norms of gradients.

    `through` and `past` are (batch, modules) float: how much of the gradient goes through the branch of a
    module, and how much past it by its shortcut. Ones in both give the ordinary gradient.

    Raises:
        ValueError: the modules do not follow each other, so that there are no paths through all of them.
    """
    import tensorflow as tf

    folded = fold_batchnorm(flattened(model))
    located = locate_residual(folded)
    if not follow_each_other(folded, located):
        raise ValueError(
            f"`model` {model.name!r} has ways around some of its modules, so its paths cannot be counted. "
            "Path lengths need modules that follow each other."
        )
    place = {id(module.nodes[-1]): i for i, module in enumerate(located)}
    stem = needed(graph.nodes(folded), {id(located[0].fork)}, {})
    start, image, output = located[0].fork, folded.inputs[0], folded.outputs[0]

    def norms(images, labels, through, past):
        def call(operation, args, kwargs, node):
            if id(node) in place:
                index = place[id(node)]
                return _gated(operation, args, located[index], through[:, index], past[:, index])
            if any(tensor is output for tensor in node.output_tensors):
                return call_without_squashing(operation, *args, **kwargs)
            return graph.infer(operation, args, kwargs, node)

        before = graph.run(stem, {id(image): images})[id(start)]
        known = {id(start): tf.stop_gradient(before)}
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(known[id(start)])
            logits = tf.cast(graph.replay(folded, known, call)[id(output)], tf.float32)
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
        gradient = tape.gradient(losses, known[id(start)])
        return tf.norm(tf.reshape(tf.cast(gradient, tf.float32), (tf.shape(gradient)[0], -1)), axis=1)

    gates = tf.TensorSpec((None, len(located)), "float32")
    specs = (
        tf.TensorSpec((None, *image.shape[1:]), image.dtype),
        tf.TensorSpec((None,), "int64"),
        gates,
        gates,
    )
    compiled = tf.function(norms, autograph=False).get_concrete_function(*specs)

    def run(images, labels, through, past):
        given = zip((images, labels, through, past), specs, strict=True)
        return compiled(*(tf.cast(values, spec.dtype) for values, spec in given))

    return run


def random_gates(
    samples: int, modules: int, length: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return gates (`through`, `past`) of random paths, each (samples, modules) float32 of zeros and ones.

    Every path goes through `length` modules, each choice of them equally likely, and past all others.
    """
    ranks = rng.random((samples, modules)).argsort(axis=1)
    through = (ranks < length).astype("float32")
    return through, 1 - through


def _whole(samples: int, modules: int) -> tuple[np.ndarray, np.ndarray]:
    ones = np.ones((samples, modules), "float32")
    return ones, ones


def _batched(norms: Callable, images, labels, gates: tuple[np.ndarray, np.ndarray], batch_size: int):
    """Return (n,) norms, batch by batch."""
    through, past = gates
    starts = range(0, len(images), batch_size)
    parts = [slice(start, start + batch_size) for start in starts]
    return np.concatenate([norms(images[i], labels[i], through[i], past[i]).numpy() for i in parts])


def _gated(operation, args, module: Located, through, past):
    """Add shortcut and branch as ever, but let only a share of the gradient into each of them."""
    import tensorflow as tf

    position = module.bypass[id(module.nodes[-1])]
    gates = [past, through] if position == 0 else [through, past]

    def gated(x, gate):
        gate = tf.cast(tf.reshape(gate, (-1, *[1] * (len(x.shape) - 1))), x.dtype)
        return tf.stop_gradient(x) + gate * (x - tf.stop_gradient(x))

    inputs = keras.tree.flatten(args)
    fresh = [gated(x, gate) for x, gate in zip(inputs, gates, strict=True)]
    return operation(*keras.tree.pack_sequence_as(args, fresh))


def _shortest_range(shares: np.ndarray, held: float) -> tuple[int, int]:
    """Return first and last place of the shortest run of shares that add up to `held`."""
    sums = np.concatenate([[0.0], np.cumsum(shares)])
    for size in range(1, len(shares) + 1):
        inside = sums[size:] - sums[:-size]
        if inside.max() >= held - 1e-12:
            first = int(inside.argmax())
            return first, first + size - 1
    return 0, len(shares) - 1
