"""The style that all pictures share."""
