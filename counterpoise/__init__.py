"""Balance an imbalanced sound collection with one small diffusion model per class, and measure whether it helps."""


class CounterpoiseError(Exception):
    """Something that the user can mend: the message names the value, what is allowed, and the next command."""
