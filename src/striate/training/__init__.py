"""Training: what is to be done (recipe), how it was resolved, and the loop that does it."""
