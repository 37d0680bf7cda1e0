"""Training: the loop, its optimizer, what it reports, the frozen part of a backbone, and the state of a run."""
