"""The outermost ring: commands, embedded engines, supervision, the 8x8 simulator."""
