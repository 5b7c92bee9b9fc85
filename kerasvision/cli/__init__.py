"""kerasvision.cli."""
