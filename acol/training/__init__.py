"""The training loop, the frozen part of a trunk, and the state that a killed run goes on from."""
