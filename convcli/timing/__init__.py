"""Time: numpy against other implementations, layer by layer, and against the matrix product that the layer is."""
