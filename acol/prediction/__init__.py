"""A trained model for its users: images in; class, probability, map and box out."""
