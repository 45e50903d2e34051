"""Induction heads: Olsson et al. 2022, "In-context Learning and Induction Heads"."""
