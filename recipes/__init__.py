"""kerasvision.recipes."""
