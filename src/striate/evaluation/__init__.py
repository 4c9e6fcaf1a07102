"""Figures on arrays, with intervals: probabilities (N, K) and targets (N,) in, nothing of torch in between."""
