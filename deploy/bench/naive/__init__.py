"""For comparison only: the same service as a good tutorial builds it, one row, one commit and one job a message."""
