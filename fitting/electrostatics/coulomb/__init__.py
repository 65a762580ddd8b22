"""One Coulomb kernel: sums over charges of atoms, in cells and in the open, by Ewald or on a mesh."""
