"""Striate: deep learning for pictures."""
