"""Learning rates as pure functions of the step, so that a resumed run needs no state for them."""

import math
from collections.abc import Sequence


def warmup_cosine(step: int, *, peak: float, steps: int, warmup: int = 0, final: float = 0.01) -> float:
    """Return the learning rate of a step: a linear rise to `peak`, then half a cosine down.

    Args:
        step: which step, from 0.
        peak: the highest rate.
        steps: number of steps in all.
        warmup: number of steps of the rise; the first step has `peak / warmup`, not 0.
        final: the rate at the end as a fraction of `peak`.

    Example:
        >>> [round(warmup_cosine(s, peak=1.0, steps=6, warmup=2, final=0.0), 3) for s in range(6)]
        [0.5, 1.0, 1.0, 0.854, 0.5, 0.146]

    Source: Loshchilov and Hutter, SGDR, 2017; Goyal et al., Accurate, large minibatch SGD, 2017 (warm-up).
    """
    if step < warmup:
        return peak * (step + 1) / warmup
    done = min(1.0, (step - warmup) / max(1, steps - warmup))
    return peak * (final + (1 - final) * 0.5 * (1 + math.cos(math.pi * done)))


def poly(step: int, *, peak: float, steps: int, warmup: int = 0, power: float = 0.9) -> float:
    """Return the learning rate of a step: a linear rise to `peak`, then down to 0, almost in a straight line.

    Args:
        step: which step, from 0.
        peak: the highest rate.
        steps: number of steps in all.
        warmup: number of steps of the rise; the first step has `peak / warmup`, not 0.
        power: of what is left to go; 1 is a straight line.

    Example:
        >>> [round(poly(s, peak=1.0, steps=6, warmup=2), 3) for s in range(6)]
        [0.5, 1.0, 1.0, 0.772, 0.536, 0.287]

    Source: Liu et al., ParseNet, 2015, section 3.2; Chen et al., DeepLab, 2017, section 4.1 (power 0.9).
    """
    if step < warmup:
        return peak * (step + 1) / warmup
    return peak * max(0.0, 1.0 - (step - warmup) / max(1, steps - warmup)) ** power


def stepwise(
    step: int,
    *,
    peak: float,
    drops: Sequence[int],
    factor: float = 0.1,
    warmup: int = 0,
    warmup_factor: float = 0.1,
) -> float:
    """Return the learning rate of a step: constant, and multiplied by `factor` at each drop.

    Args:
        step: which step, from 0.
        peak: the rate before the first drop.
        drops: steps from which on the rate is lower.
        factor: of each drop.
        warmup: number of steps at the front with the constant rate `warmup_factor * peak`; a network of 110
            layers began to converge sooner with it.
        warmup_factor: of the rate during the warm-up.

    Example:
        >>> [round(stepwise(s, peak=0.1, drops=(2, 3), warmup=1), 6) for s in range(5)]
        [0.01, 0.1, 0.01, 0.001, 0.001]

    Source: He et al., Deep residual learning, 2015, section 4.2 (drops at 32k and 48k of 64k steps; 0.01 for
    about the first 400 steps of ResNet-110).
    """
    if step < warmup:
        return peak * warmup_factor
    return peak * factor ** sum(step >= drop for drop in drops)
