"""Answers for pictures that differ from a clean one in a small square: only what the square can change is computed.

Nakandala, Nagrecha, Kumar, Papakonstantinou 2019, "Incremental and Approximate Inference for Faster Occlusion-based
Deep CNN Explanations" (SIGMOD). The square is a rectangle of changed cells in every map of the network, larger from
layer to layer. `spans` does the arithmetic of these rectangles, `windows` cuts them out of maps, `convolution` is the
layer that takes the time, and `patches` is a tensor that a network takes for whole maps and that holds patches alone.
"""
