"""HTTP in: parses, stores, rings, answers. Never calls 8x8 or a provider, never decides a status."""
