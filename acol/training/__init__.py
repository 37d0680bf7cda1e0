"""Training: the loop, its settings, optimizer and results, the frozen part of a backbone, and saved states."""
