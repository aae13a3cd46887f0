"""One module a measurement; each is a function from the scene to what it measured."""
