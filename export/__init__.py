"""kerasvision.export."""
