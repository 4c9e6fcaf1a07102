"""The machine: device, precision, layout, threads, ranks; found, measured, and given as plain values."""
