"""One small file a peer, and the worker that runs them. Each peer has ``run(job, clock)``."""
