"""Models: network + input specification + task, and the run folder in which they are kept."""
