"""Sources of sounds, and the one way in for every sound."""
