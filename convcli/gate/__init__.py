"""What a change costs: `diff` between two networks, `check` against expectations, budgets and a baseline."""
