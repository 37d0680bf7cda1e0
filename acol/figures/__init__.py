"""Pictures: maps over images, boxes, text, panels of maps, and training curves."""
