"""What a data set is: images, the manifest that records them, and the batches that a network gets."""
