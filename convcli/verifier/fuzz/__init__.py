"""Random differential testing: every legal pair of what layers can be, then layers at random, each a pure function."""
