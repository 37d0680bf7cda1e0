"""The comparison: which cell is best, how sure that is, and the tables, pictures and page that say so."""
