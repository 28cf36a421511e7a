"""Runs of the pipeline beside each other: `counterpoise compare`.

`experiments` asks DVC for the runs, `configurations` puts those together that belong together, `scores` says what they
are worth and what that proves, `tables` and `pictures` show it.
"""
