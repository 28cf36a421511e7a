"""What classifiers scored on unheard recordings, how sure that is, and its pictures."""
