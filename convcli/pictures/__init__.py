"""Pictures of layers and networks: a `Scene` (scene.py) that svg.py, raster.py and terminal.py draw."""
