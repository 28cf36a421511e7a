"""One trained network to give away: which it is, what else belongs to it, and its model card."""
