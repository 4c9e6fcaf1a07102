"""A model's answers over HTTP, for this machine alone."""
