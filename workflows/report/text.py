"""What to cite for what a campaign used."""

from __future__ import annotations

from dataclasses import dataclass

from ...core.citations import Citation


@dataclass(frozen=True)
class CitationWhen(Citation):
    """A work to cite, and when: always, of a kind of model."""

    when: str = "always"


CITATIONS: tuple[CitationWhen, ...] = (
    CitationWhen(
        "ES-GAP",
        "C. G. Staacke, H. H. Heenen, C. Scheurer, G. Csányi, K. Reuter, J. T. Margraf, "
        "ACS Appl. Energy Mater. 2021, 4, 12562",
        "10.1021/acsaem.1c02363",
        "es-gap",
    ),
    CitationWhen(
        "GAP",
        "A. P. Bartók, M. C. Payne, R. Kondor, G. Csányi, Phys. Rev. Lett. 2010, 104, 136403",
        "10.1103/PhysRevLett.104.136403",
    ),
    CitationWhen(
        "SOAP",
        "A. P. Bartók, R. Kondor, G. Csányi, Phys. Rev. B 2013, 87, 184115",
        "10.1103/PhysRevB.87.184115",
    ),
    CitationWhen(
        "Langevin integrator",
        "B. Leimkuhler, C. Matthews, J. Chem. Phys. 2013, 138, 174102",
        "10.1063/1.4802990",
    ),
    CitationWhen(
        "FireWorks",
        "A. Jain et al., Concurrency Computat.: Pract. Exper. 2015, 27, 5037",
        "10.1002/cpe.3505",
    ),
    CitationWhen(
        "ASE",
        "A. Hjorth Larsen et al., J. Phys.: Condens. Matter 2017, 29, 273002",
        "10.1088/1361-648X/aa680e",
    ),
)
