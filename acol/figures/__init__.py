"""Pictures: overlays, text, panels of maps, and curves."""
