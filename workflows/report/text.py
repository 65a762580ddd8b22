"""What to cite for every campaign; kinds name their own works."""

from __future__ import annotations

from ...core.citations import Citation

CITATIONS: tuple[Citation, ...] = (
    Citation(
        "Langevin integrator",
        "B. Leimkuhler, C. Matthews, J. Chem. Phys. 2013, 138, 174102",
        "10.1063/1.4802990",
    ),
    Citation(
        "FireWorks",
        "A. Jain et al., Concurrency Computat.: Pract. Exper. 2015, 27, 5037",
        "10.1002/cpe.3505",
    ),
    Citation(
        "ASE",
        "A. Hjorth Larsen et al., J. Phys.: Condens. Matter 2017, 29, 273002",
        "10.1088/1361-648X/aa680e",
    ),
)
