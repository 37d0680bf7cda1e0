"""Training: the loop, the optimizer, the results, a trunk's frozen part, and the state that a killed run goes on from."""
