"""How fast do ions move: diffusivities, conductivities, Haven ratios, activation energies, and how sure they are."""
