"""Anyone's scores of the same cases: the table, the figures, and what they are held in."""
