"""A failure explains itself: the taps that contributed, what it looks like, who is wrong, how small it still shows."""
