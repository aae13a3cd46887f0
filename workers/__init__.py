"""Work out: one file per step. Claims rows, acts, records."""
