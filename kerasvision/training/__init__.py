"""kerasvision.training."""
