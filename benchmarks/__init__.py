"""Side-by-side speed of minisgd and its peers: one command, one table. Start at `run`."""
