"""The load generator: the provider that submits, 8x8, and the callback receivers, in one process on one clock."""
