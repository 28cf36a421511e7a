"""Who trains, who is held out, how many clips each class needs, and the proof that nothing leaks."""
