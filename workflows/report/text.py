"""What to cite for what a campaign used."""

from __future__ import annotations

from dataclasses import dataclass

<<<<<<< HEAD
from ...core import citations


@dataclass(frozen=True)
class Citation(citations.Citation):
    """A work to cite, and when: always, of a kind of model, of an analysis."""
=======
from ...core.citations import Citation


@dataclass(frozen=True)
class CitationWhen(Citation):
    """A work to cite, and when: always, an engine, a kind of model."""
>>>>>>> 2ca0917 (Analyses are kinds: registered by entry points, with settings, tasks, comparison figures, citations and methods of their own)

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
<<<<<<< HEAD
    Citation(
        "Locality tests",
        "V. L. Deringer, G. Csányi, Phys. Rev. B 2017, 95, 094203",
        "10.1103/PhysRevB.95.094203",
        "locality",
    ),
    Citation(
        "Climbing nudged elastic band",
        "G. Henkelman, B. P. Uberuaga, H. Jónsson, J. Chem. Phys. 2000, 113, 9901",
        "10.1063/1.1329672",
        "barriers",
    ),
    Citation(
=======
    CitationWhen(
        "GFN1-xTB",
        "S. Grimme, C. Bannwarth, P. Shushkov, J. Chem. Theory Comput. 2017, 13, 1989",
        "10.1021/acs.jctc.7b00118",
        "gfn1-xtb",
    ),
    CitationWhen(
>>>>>>> 2ca0917 (Analyses are kinds: registered by entry points, with settings, tasks, comparison figures, citations and methods of their own)
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
