"""Data sets: images and masks, the manifest that lists them, and the batches for a network."""
