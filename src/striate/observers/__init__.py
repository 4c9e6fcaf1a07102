"""Observers that write for other programs: one file each."""
