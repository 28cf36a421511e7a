"""Classifiers of clips: their networks, what augments their inputs, how they are trained."""
