"""A stranger's folder of images and annotations, validated whole, as a manifest."""
