"""Every formula of a layer with its numbers put in, step by step: what `explain` says."""
