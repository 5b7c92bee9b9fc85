"""kerasvision.report."""
