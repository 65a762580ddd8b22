"""Toy kinds: small, real, and unknown to ionloop."""
