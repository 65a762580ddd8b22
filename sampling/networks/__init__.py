"""Networks of atoms: which centres and ligands are bonded, and what species they form."""
