"""The comparison: which cell is best, how certain that is, and the tables, pictures and page that show it."""
