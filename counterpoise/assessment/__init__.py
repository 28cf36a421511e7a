"""How good the generated sounds of each class are, beside real and cheaply changed ones."""
