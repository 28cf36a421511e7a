"""The stages of dvc.yaml, one thin script each; `base` has what they share."""
