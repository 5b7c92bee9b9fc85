"""Rows of the table: the networks before and beside residual ones (AlexNet, VGG, Inception)."""

from kerasvision.models.model_entry import ModelEntry

ROWS: tuple[ModelEntry, ...] = ()
