"""The search for settings: equally many draws for each recipe; the best on validation are trained anew."""
