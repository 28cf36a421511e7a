"""Which candidates are kept: a filter by class, and kernel herding."""
