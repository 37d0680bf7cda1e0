"""Drawn images: footballers, and the scenes that they stand in."""
