"""Active learning of machine-learned interatomic potentials for solid electrolytes."""

__version__ = "0.1.0"
