"""Pair distribution functions, structure factors, bond angles, rings and chains: the structure that experiments see."""
