"""Frenkel pairs, without and in an electric field, and vacancies."""
