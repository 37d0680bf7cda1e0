"""Images that we draw ourselves: footballers, and the scenes that they stand in."""
