"""Readers of outside data: YAML, JSON, the PyTorch spelling, benchdnn descriptors, flags; each checks what it reads."""
