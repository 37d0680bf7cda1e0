"""Predictions of a trained model: from images to class, probability, map and box; and exported models."""
