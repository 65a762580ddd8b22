"""Potentials in LAMMPS: its integrators and fixes, our evaluation."""
