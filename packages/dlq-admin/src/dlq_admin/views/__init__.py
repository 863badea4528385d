"""The pages: each a function that is given a ``Visit``."""
