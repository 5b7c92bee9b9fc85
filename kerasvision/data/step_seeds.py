"""Random seeds for Keras layers that are a function of (seed, step), so that any step can be repeated."""

import zlib

import keras
import tensorflow as tf


class StepSeeds:
    """One variable, the step, from which any number of generators derive their seeds.

    Keras' own generators count on in a variable each; after an interruption those counts are lost, and
    replicas would race for them.

    Args:
        seed: of the run.
    """

    def __init__(self, seed: int):
        """Start at step 0."""
        self.seed = seed
        self.step = tf.Variable(
            0, dtype=tf.int64, trainable=False, aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA
        )
        self._generators: list[_Generator] = []

    def generator(self) -> keras.random.SeedGenerator:
        """Return a new generator, whose seeds differ from those of all others."""
        key = zlib.crc32(f"{self.seed} {len(self._generators)}".encode())
        self._generators.append(_Generator(self.step, key))
        return self._generators[-1]

    def assign(self, step) -> None:
        """Go to a step (a whole number or a scalar integer tensor)."""
        self.step.assign(tf.cast(step, tf.int64))

    def begin(self) -> None:
        """Let all generators draw from the front again; call it before the layers are."""
        for generator in self._generators:
            generator.begin()


class _Generator(keras.random.SeedGenerator):
    """Hands out (key, step, replica, turn, number of the draw), mixed into two numbers."""

    def __init__(self, step: tf.Variable, key: int):
        # Not calling super().__init__: it would make the variable that this class does without.
        self.state, self.key = step, key
        self.begin()
        self.name, self._initial_seed, self.backend = "step_seeds", key, keras.backend

    def begin(self, turn=0) -> None:
        """Draw from the front again; in a loop, `turn` tells its rounds apart."""
        self.turn, self.drawn = turn, 0

    def next(self, ordered: bool = True):
        """Return the next seed, (2,) int32."""
        context = tf.distribute.get_replica_context()
        replica = tf.cast(context.replica_id_in_sync_group if context else 0, tf.int64)
        number = self.drawn
        self.drawn += 1
        low = tf.bitwise.bitwise_xor(self.state.value(), tf.constant(self.key, tf.int64))
        high = (replica * 1024 + tf.cast(self.turn, tf.int64)) * 64 + number
        seed = tf.stack([low, high]) & tf.constant(0x7FFFFFFF, tf.int64)
        return tf.cast(seed, tf.int32)
