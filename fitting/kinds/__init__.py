"""Kinds of models, one file each, behind one contract."""
