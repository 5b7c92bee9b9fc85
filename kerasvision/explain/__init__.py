"""kerasvision.explain."""
