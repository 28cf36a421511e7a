"""Whether what DVC keeps is what dvc.lock says, by content, and where results were made."""
