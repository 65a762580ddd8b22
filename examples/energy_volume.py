"""Energy against volume and the bulk modulus, with any ASE calculator and without a campaign.

    python examples/energy_volume.py

Copper, whose bulk modulus is known (137 GPa measured), and CuAu in the caesium chloride structure: both have no
parameter but their volume.
"""

from __future__ import annotations

from ase.build import bulk
from ase.calculators.emt import EMT

from ionloop.analysis.energy_volume.curves import energy_volume_point, fit_points
from ionloop.analysis.energy_volume.figures import EnergyVolumeCurve, energy_volume_figure
from ionloop.analysis.energy_volume.settings import EnergyVolumeSettings

SETTINGS = EnergyVolumeSettings(strain=0.04, points=9)
CRYSTALS = {"Cu": bulk("Cu", a=3.6), "CuAu": bulk("CuAu", "cesiumchloride", a=3.1)}


def main() -> None:
    """Print the equation of state of both crystals and build the figure."""
    curves = []
    for name, crystal in CRYSTALS.items():
        points = [energy_volume_point(crystal, EMT(), strain, SETTINGS.relaxation) for strain in SETTINGS.strains]
        fit = fit_points(points)
        print(
            f"{name}: V0 = {fit.volume_A3_per_atom:.3f} ± {fit.volume_standard_error_A3_per_atom:.3f} Å³/atom, "
            f"B0 = {fit.bulk_modulus_GPa:.1f} ± {fit.bulk_modulus_standard_error_GPa:.1f} GPa"
        )
        size = len(crystal)
        volumes = tuple(point.volume_A3 / size for point in points)
        curves.append(EnergyVolumeCurve(name, volumes, tuple(point.energy_eV / size for point in points), fit))
    figure = energy_volume_figure(curves)
    print(f"{len(figure.data)} traces; figure.write_html('energy-volume.html') shows them")


if __name__ == "__main__":
    main()
