"""Training: the loop, its optimizer, what it reports, the frozen part of a trunk, and the state of a run."""
