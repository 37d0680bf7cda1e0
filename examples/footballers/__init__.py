"""Drawn footballers: a data set with labels, boxes and masks, and the scenes that the players stand in."""
