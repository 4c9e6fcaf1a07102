"""Data: what is there, and its pixels, fast."""
