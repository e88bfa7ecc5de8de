"""Many cases by many workers, through any `concurrent.futures.Executor`."""
