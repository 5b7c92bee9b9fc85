"""The networks that `get_model` knows, as data: one entry a variant.

A new family is a file with its builders, and its rows in one of the tables that are joined here.
"""

from kerasvision.models import table_classic, table_mobile, table_residual
from kerasvision.models.model_entry import ModelEntry

ENTRIES: tuple[ModelEntry, ...] = (*table_mobile.ROWS, *table_residual.ROWS, *table_classic.ROWS)
