"""An exponential moving average of a model's weights."""


class Average:
    """A second set of weights that follows the model's, for validation and as the result.

    The decay starts low, `(1 + n) / (10 + n)`, so that the first weights do not weigh on short trainings.

    Args:
        model: a built `keras.Model`.
        decay: between 0 and 1; the higher, the longer the memory.

    Source: Polyak and Juditsky, 1992; the rising decay is that of TensorFlow's `ExponentialMovingAverage`.
    """

    def __init__(self, model, decay: float):
        import tensorflow as tf

        self.model, self.decay, self.updates = model, decay, 0
        self.weights = [tf.Variable(w.value, trainable=False) for w in model.weights]
        self._rate = tf.Variable(0.0, trainable=False)
        self._move = tf.function(self._move_all, autograph=False)

    def restart(self) -> None:
        """Begin anew from the model's weights as they are."""
        self.updates = 0
        for average, weight in zip(self.weights, self.model.weights, strict=True):
            average.assign(weight.numpy())

    def update(self) -> None:
        """Take one step towards the model's weights."""
        self.updates += 1
        self._rate.assign(1.0 - min(self.decay, (1 + self.updates) / (10 + self.updates)))
        self._move()

    def _move_all(self):
        for average, weight in zip(self.weights, self.model.weights, strict=True):
            if average.dtype.is_floating:
                average.assign_add(self._rate * (weight.value - average))
            else:
                average.assign(weight.value)

    def swap(self) -> None:
        """Exchange the model's weights and the averages; a second call exchanges them back."""
        for average, weight in zip(self.weights, self.model.weights, strict=True):
            kept = weight.numpy()
            weight.assign(average.numpy())
            average.assign(kept)
