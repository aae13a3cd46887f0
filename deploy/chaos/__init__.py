"""What goes wrong on purpose: the network between our processes and everything they talk to, and our own processes."""
