"""A torch model's operations, recorded on tensors without memory. Only the command `import` loads this."""
