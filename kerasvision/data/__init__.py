"""kerasvision.data."""
