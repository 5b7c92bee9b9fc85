"""Mixed precision where the device gains from it."""

from contextlib import contextmanager
from dataclasses import dataclass

from kerasvision.errors import KerasvisionError

POLICIES = ("float32", "mixed_float16", "mixed_bfloat16")


@dataclass(frozen=True)
class Precision:
    """A dtype policy of Keras and why it was chosen."""

    policy: str
    why: str

    @property
    def scales_loss(self) -> bool:
        """Whether gradients need a scaled loss: float16 has too few exponents for small ones."""
        return self.policy == "mixed_float16"

    @contextmanager
    def active(self):
        """Build models inside this block with the policy; the policy of before comes back at the end."""
        import keras

        before = keras.config.dtype_policy()
        keras.config.set_dtype_policy(self.policy)
        try:
            yield
        finally:
            keras.config.set_dtype_policy(before)


def choose_precision(mixed_precision: str | bool = "auto") -> Precision:
    """Choose the dtype policy for training on the device that is there.

    Args:
        mixed_precision: `"auto"`, `False` or `"float32"`, `"mixed_float16"`, `"mixed_bfloat16"`.

    Raises:
        KerasvisionError: another value.
    """
    if mixed_precision is False:
        mixed_precision = "float32"
    if mixed_precision == "auto":
        return _for_device()
    if mixed_precision not in POLICIES:
        raise KerasvisionError(
            f'`mixed_precision` must be "auto", False or one of {", ".join(map(repr, POLICIES))}. '
            f"Received: {mixed_precision!r}."
        )
    return Precision(mixed_precision, "asked for")


def _for_device() -> Precision:
    import tensorflow as tf

    if tf.config.list_logical_devices("TPU"):
        return Precision("mixed_bfloat16", "a TPU multiplies bfloat16 natively")
    gpus = tf.config.list_physical_devices("GPU")
    if not gpus:
        # Measured: mixed_bfloat16 under TensorFlow on a CPU with AVX512-BF16 trained and predicted slower.
        return Precision("float32", "no GPU; on CPUs mixed precision was measured to be slower in TensorFlow")
    capabilities = [
        tf.config.experimental.get_device_details(gpu).get("compute_capability", (0, 0)) for gpu in gpus
    ]
    if min(capabilities) >= (7, 0):
        return Precision("mixed_float16", "every GPU has tensor cores (compute capability 7.0 or more)")
    return Precision("float32", "a GPU without tensor cores (compute capability below 7.0)")
