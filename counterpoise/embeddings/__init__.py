"""Sounds as vectors: spectrograms, the YAMNet that Google trained on AudioSet, embeddings kept on disk."""
