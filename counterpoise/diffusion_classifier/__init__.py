"""Denoisers as a classifier: by Bayes' rule, a clip's class is that whose denoiser explains it best."""
