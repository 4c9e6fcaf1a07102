"""Taps: named places in any network. The only owner of hooks."""
