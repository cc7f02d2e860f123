"""Heads whose labels may each be right or not: reading, folding, deciding and measuring what has no single right answer."""
