"""The shards of a run as one: JSON reports, which are held, and journals, which are read line by line."""
