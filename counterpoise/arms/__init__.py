"""Arms: ways of treating imbalance, a file each. `params.yaml` names those that are trained."""
