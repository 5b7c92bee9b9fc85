"""kerasvision.metrics."""
