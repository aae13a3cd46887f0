"""Drills on the whole service: what is broken, what happened meanwhile, and whether every promise held."""
