"""Charges that minimise an energy: equilibrated over all atoms, or passed over bonds as split charges."""
