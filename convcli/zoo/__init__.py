"""Many models imported at once: each in a process of its own, told in the order in which they are named."""
