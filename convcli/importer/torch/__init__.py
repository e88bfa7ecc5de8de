"""A torch model's operations, recorded on tensors without memory. Of convcli's command line only `import` loads this."""
