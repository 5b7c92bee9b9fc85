"""One device or several: which part of a batch is whose, and how a step runs on all of them."""

from contextlib import nullcontext

from kerasvision.errors import KerasvisionError
from kerasvision.training.batches import Share


def share_of(batch_size: int, strategy) -> Share:
    """Return the part of each global batch that this process loads.

    Raises:
        KerasvisionError: the batch cannot be shared evenly.
    """
    if strategy is None:
        return Share(batch_size, 0, batch_size)
    replicas, local = strategy.num_replicas_in_sync, len(strategy.extended.worker_devices)
    if batch_size % replicas:
        raise KerasvisionError(
            f"`batch_size` must be a multiple of the {replicas} devices. Received: {batch_size}. "
            f"Give {-(-batch_size // replicas) * replicas}."
        )
    resolver = strategy.cluster_resolver
    worker = resolver.task_id or 0 if resolver is not None else 0
    each = batch_size // replicas
    return Share(batch_size, worker * local * each, local * each)


def is_chief(strategy) -> bool:
    """Tell whether this process writes the checkpoints."""
    resolver = getattr(strategy, "cluster_resolver", None)
    return resolver is None or not resolver.task_id


def scope(strategy):
    """Return the context in which variables of a strategy are made."""
    return nullcontext() if strategy is None else strategy.scope()


def run_replicas(strategy, function, batch):
    """Run on one device, or on all devices of a strategy with the results summed."""
    if strategy is None:
        return function(*batch)
    return [strategy.reduce("SUM", value, axis=None) for value in strategy.run(function, args=batch)]


def place(strategy, batch):
    """Return a process' part of a batch as tensors, cut up over its devices where there are several.

    Args:
        strategy: a `tf.distribute.Strategy`, or None.
        batch: arrays with the batch in front, in tuples or dictionaries.
    """
    import tensorflow as tf

    if strategy is None:
        return tf.nest.map_structure(tf.convert_to_tensor, tuple(batch))
    local = len(strategy.extended.worker_devices)

    def cut(array):
        size = len(array) // local

        def part(context):
            index = context.replica_id_in_sync_group % local
            return tf.convert_to_tensor(array[index * size : (index + 1) * size])

        return strategy.experimental_distribute_values_from_function(part)

    return tf.nest.map_structure(cut, tuple(batch))
