"""Training: the loop, the optimizer, what an epoch reports, a trunk's frozen part, and the state of an unfinished run."""
