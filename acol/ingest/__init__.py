"""A user's folder of images and annotations, fully validated, as a manifest."""
