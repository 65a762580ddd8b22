"""Surveys: one file, many crystals, a campaign for each of them in one store, and one table of what came out."""
