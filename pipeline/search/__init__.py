"""The search: as many draws of the same settings for each recipe, chosen on validation, then trained anew."""
