"""What one output cell of a network sees: the cells themselves, the holes between them, and what makes the holes."""
