"""Surveys of many crystals: candidates from files and databases, and what becomes of each."""
