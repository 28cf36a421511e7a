"""Variations of clips by SDEdit, and the validation that stops a training by them."""
