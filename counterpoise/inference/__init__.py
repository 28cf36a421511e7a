"""Trained networks at work: sound files of any length in, labels and probabilities out."""
