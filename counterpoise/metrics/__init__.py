"""Distances between sets of sounds, tests that tell two sets apart, and measures of single signals."""
