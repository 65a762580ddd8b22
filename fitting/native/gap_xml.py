"""GAP potentials as files: the XML of gap_fit and its sparse-point files, read and written.

A potential is a sum of isolated-atom energies and of *coordinates*, each a sparse Gaussian process over one
descriptor (Bartók, Csányi, Int. J. Quantum Chem. 2015, 115, 1051, 10.1002/qua.24927). The reader takes what
it can represent exactly and refuses the rest by name; the writer's files are read by QUIP.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal
from xml.etree import ElementTree
from xml.sax.saxutils import quoteattr

import numpy as np

from ...core.arrays import FloatArray
from ...core.errors import InputError, IonloopError
from ...core.files import write_whole
from .descriptor_strings import WITH_QUIPPY, Descriptor, TripletDescriptor, parse_descriptor, split_key_values
from .glue import GluePotential, glue_lines, read_glue
from .xml_elements import MalformedXml, attribute, integer, logical, only_child, real, reals, to_real

Covariance = Literal["ard_se", "dot_product"]
"""How a GAP coordinate compares descriptors."""

GAP_VERSION = 1769700636
"""The format version that `write_gap_xml` claims: a recent one, whose conventions it follows."""
LARGEST_ATOMIC_NUMBER = 118

_COVARIANCE_OF_CODE: Mapping[str, Covariance] = {"1": "ard_se", "2": "dot_product"}
_CODE_OF_COVARIANCE: Mapping[Covariance, str] = {"ard_se": "1", "dot_product": "2"}
_UNSUPPORTED_COVARIANCES: Mapping[str, str] = {"3": "bond_real_space", "4": "pp"}


@dataclass(frozen=True)
class Coordinate:
    """One sparse Gaussian process over one descriptor.

    Attributes
    ----------
    descriptor
        The descriptor's parsed command line; ``descriptor.text`` is the line itself.
    covariance
        "ard_se" or "dot_product".
    delta
        Amplitude δ of the covariance, eV (per atom or pair).
    sparse_points
        Descriptors of the sparse points. Shape [n_sparse, n_dimensions].
    alphas
        Weights. Shape [n_sparse].
    sparse_cutoffs
        Cutoff function at the sparse points. Shape [n_sparse].
    zeta
        Exponent of the dot product; None for "ard_se".
    theta
        Length scales of "ard_se", in units of the descriptor; None for "dot_product". Shape
        [n_dimensions].
    signal_mean
        Constant f0 whose square "ard_se" adds to the covariance, eV.
    label
        Name inside the file.
    permutations
        Orders of the components over which "ard_se" is summed, the sum being normalised; none for
        the components as they are.
    """

    descriptor: Descriptor
    covariance: Covariance
    delta: float
    sparse_points: FloatArray
    alphas: FloatArray
    sparse_cutoffs: FloatArray
    zeta: float | None = None
    theta: FloatArray | None = None
    signal_mean: float = 0.0
    label: str = ""
    permutations: tuple[tuple[int, ...], ...] = ()

    def __post_init__(self) -> None:
        n_sparse = len(self.alphas)
        expected = {
            "sparse_points": (n_sparse, self.descriptor.n_dimensions),
            "sparse_cutoffs": (n_sparse,),
            "theta": (self.descriptor.n_dimensions,) if self.covariance == "ard_se" else None,
        }
        for name, shape in expected.items():
            array = getattr(self, name)
            if (None if array is None else array.shape) != shape:
                raise IonloopError(
                    f"the GAP coordinate {self.label!r} ({self.descriptor.kind}) needs {name} of shape {shape}, "
                    f"not {None if array is None else array.shape}"
                )
        if (self.zeta is None) == (self.covariance == "dot_product"):
            raise IonloopError(f"the GAP coordinate {self.label!r} needs zeta if, and only if, it is dot_product")


@dataclass(frozen=True)
class GapModel:
    """A GAP potential.

    Attributes
    ----------
    isolated_atom_energies
        By atomic number, eV; missing ones are 0.
    coordinates
        The Gaussian processes, whose energies add up.
    label
        Name of the potential inside its file.
    energy_scale
        Factor on everything, isolated atoms included.
    gap_version
        Format version of the file; old ones follow other conventions.
    command_line
        Of the fit, for information.
    core
        A potential that is added to the GAP, which was fitted to the rest; no factor applies to it.
    lacks_charges
        Whether it was fitted together with charges, without which it means nothing: its file says so, and QUIP refuses
        it.
    """

    isolated_atom_energies: Mapping[int, float]
    coordinates: tuple[Coordinate, ...]
    label: str = "ionloop_gap"
    energy_scale: float = 1.0
    gap_version: int = GAP_VERSION
    command_line: str = field(default="", repr=False)
    core: GluePotential | None = None
    lacks_charges: bool = False

    @property
    def cutoff_A(self) -> float:
        """The longest cutoff of all descriptors and of the core, Å."""
        cutoffs = [coordinate.descriptor.cutoff_A for coordinate in self.coordinates]
        return max([*cutoffs, self.core.cutoff_A if self.core else 0.0])

    @property
    def known_atomic_numbers(self) -> frozenset[int]:
        """Elements that a descriptor names or that have an isolated-atom energy; 0 stands for any element.

        A core alone knows its own.
        """
        if self.core is not None and not self.coordinates:
            return self.core.numbers
        named = {number for coordinate in self.coordinates for number in coordinate.descriptor.atomic_numbers}
        return frozenset(named | {number for number, energy in self.isolated_atom_energies.items() if energy})


def read_gap_xml(path: str | Path, label: str | None = None, *, beside_charges: bool = False) -> GapModel:
    """Read a GAP potential that gap_fit, or `write_gap_xml`, has written.

    Parameters
    ----------
    path
        The XML file; its sparse-point files lie beside it.
    label
        Which potential, where the file holds several. None takes the one that the file's first
        ``<Potential>`` names, or the only one.
    beside_charges
        Whether a potential may lack charges that were fitted with it, for who adds them.

    Raises
    ------
    InputError
        If the file does not exist, is no XML or has no potential of that label.
    IonloopError
        If a file is damaged otherwise, or the potential has a feature that is not supported; the message
        names it.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"there is no potential file {path}")
    try:
        root = ElementTree.parse(path).getroot()
    except (ElementTree.ParseError, OSError, ValueError, LookupError) as error:
        raise InputError(f"the potential {path} is not readable XML: {error}; copy or fit it again") from error
    try:
        model = _read_model(root, path.parent, label)
    except MalformedXml as error:
        raise IonloopError(f"the potential {path} is malformed: {error}; copy or fit it again") from error
    except InputError as error:
        raise InputError(f"the potential {path}: {error}") from error
    except IonloopError as error:
        raise IonloopError(f"the potential {path}: {error}") from error
    if model.lacks_charges and not beside_charges:
        raise InputError(
            f"the potential {path} was fitted together with charges, which this file does not hold: give the folder of "
            "the model instead of the file"
        )
    return model


def write_gap_xml(model: GapModel, folder: str | Path, file_name: str = "gap.xml") -> Path:
    """Write a potential as an XML file with one sparse-point file per coordinate, as gap_fit does.

    Every file is written under a temporary name and renamed, the XML last. QUIP computes the same energies
    from the files as `ionloop.fitting.native.calculator.NativeGapCalculator` from the model.

    Parameters
    ----------
    model
        The potential.
    folder
        Made if it does not exist.
    file_name
        Of the XML; the sparse-point files are ``<file_name>.sparseX.<label><number>``.

    Returns
    -------
    The XML file's path.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    names, checksums = [], []
    for number, coordinate in enumerate(model.coordinates, start=1):
        values = tuple(coordinate.sparse_points.ravel().tolist())
        # 17 digits give every number back; one format string is the fastest way to write millions of them.
        text = (("%.16e\n" * len(values)) % values).encode()
        names.append(f"{file_name}.sparseX.{model.label}{number}")
        checksums.append(hashlib.md5(text, usedforsecurity=False).hexdigest())
        write_whole(folder / names[-1], text)
    write_whole(folder / file_name, "\n".join(_xml_lines(model, names, checksums)).encode())
    return folder / file_name


_GAP = ["IP", "GAP"]
_CHARGED_GAP = ["CHARGED_GAP"]
"""What no version of QUIP knows."""


@dataclass(frozen=True)
class _Potential:
    """What a Potential element says: the label of its GAP, that GAP's arguments, and whether a Glue is added."""

    label: str | None
    arguments: Mapping[str, str]
    has_core: bool = False
    lacks_charges: bool = False


def _read_model(root: ElementTree.Element, folder: Path, label: str | None) -> GapModel:
    parameters, potential = _choose_potential(root, label)
    data = only_child(parameters, "GAP_data")
    if logical(data, "do_core", False) and not potential.has_core:
        raise IonloopError(
            "it was fitted on top of a core potential (do_core=T), but no Potential of it is a Sum of that and the "
            "GAP; QUIP would leave the core out. Write the Sum into the file, as gap_fit does"
        )
    energies: dict[int, float] = {}
    for child in data:
        if child.tag != "e0":
            raise IonloopError(f"its GAP_data holds <{child.tag}>, which is not supported: {WITH_QUIPPY}")
        energies[integer(child, "Z")] = real(child, "value")
    version = integer(parameters, "gap_version") if parameters.get("gap_version") else 0
    if version > GAP_VERSION:
        raise IonloopError(
            f"it was written by a later version of gap_fit: its gap_version is {version}, and formats up to "
            f"{GAP_VERSION} (quippy-ase 0.10.3) are known"
        )
    sparse = only_child(parameters, "gpSparse")
    if not logical(sparse, "fitted", True):
        raise IonloopError(
            'it has not been fitted (gpSparse says fitted="F"): its weights mean nothing. Run gap_fit without '
            "sparsify_only_no_fit"
        )
    elements = sparse.findall("gpCoordinates")
    if sparse.get("n_coordinate") is not None and integer(sparse, "n_coordinate") != len(elements):
        raise MalformedXml(f"gpSparse announces {sparse.get('n_coordinate')} coordinates and has {len(elements)}")
    if not elements:
        raise MalformedXml("gpSparse has no gpCoordinates")
    command_line = parameters.find("command_line")
    return GapModel(
        isolated_atom_energies=energies,
        coordinates=tuple(_read_coordinate(element, folder, version) for element in elements),
        label=parameters.get("label", ""),
        energy_scale=_energy_scale(potential.arguments),
        gap_version=version,
        command_line=(command_line.text or "").strip() if command_line is not None else "",
        core=_read_core(root) if potential.has_core else None,
        lacks_charges=potential.lacks_charges,
    )


def _read_core(root: ElementTree.Element) -> GluePotential:
    found = list(root.iter("Glue_params"))
    if len(found) != 1:
        raise IonloopError(
            f"its Potential adds an IP Glue, and it has {len(found)} Glue_params instead of one: {WITH_QUIPPY}"
        )
    return read_glue(found[0])


def _choose_potential(root: ElementTree.Element, label: str | None) -> tuple[ElementTree.Element, _Potential]:
    """The GAP_params element meant by a label, and what the Potential element that names it says."""
    by_label: dict[str, ElementTree.Element] = {}
    for element in root.iter("GAP_params"):
        by_label.setdefault(element.get("label", ""), element)
    if not by_label:
        raise IonloopError(f"it is not a GAP: it has no GAP_params ({WITH_QUIPPY}, if it is another potential of QUIP)")
    potentials: dict[str, _Potential] = {}
    for element in root.iter("Potential"):
        potential = _parse_potential(element.get("init_args", ""))
        if potential is not None:
            # Without a label QUIP takes the first GAP of the file.
            potentials.setdefault(potential.label or next(iter(by_label)), potential)
        elif label is None and not potentials:
            raise IonloopError(
                f"its potential is {element.get('init_args')!r}, and only 'IP GAP' and a Sum of 'IP Glue' and 'IP GAP' "
                f"are supported: {WITH_QUIPPY}, or name the label of a GAP in it"
            )
    if label is None:
        label = next(iter(potentials)) if potentials else next(iter(by_label))
        if not potentials and len(by_label) > 1:
            raise InputError(f"it holds several potentials; name the label of one: {', '.join(by_label)}")
    if label not in by_label:
        raise InputError(f"it has no potential labelled {label!r}; it has {', '.join(map(repr, by_label))}")
    return by_label[label], potentials.get(label, _Potential(label, {}))


def _parse_potential(text: str) -> _Potential | None:
    """What a Potential's arguments say; None if it is not a GAP, or the sum of a GAP and a Glue."""
    words, arguments = split_key_values(text)
    kind = [word.upper() for word in words]
    if kind in (_GAP, _CHARGED_GAP):
        return _Potential(arguments.get("label"), arguments, lacks_charges=kind == _CHARGED_GAP)
    if kind != ["SUM"] or set(arguments) - {"init_args_pot1", "init_args_pot2", "label"}:
        return None
    parts = [split_key_values(arguments.get(f"init_args_pot{number}", "")) for number in (1, 2)]
    names = [[word.upper() for word in part_words] for part_words, _ in parts]
    gap = next((name for name in (_GAP, _CHARGED_GAP) if name in names), None)
    if gap is None or ["IP", "GLUE"] not in names:
        return None
    own = parts[names.index(gap)][1]
    return _Potential(own.get("label"), own, has_core=True, lacks_charges=gap == _CHARGED_GAP)


def _energy_scale(arguments: Mapping[str, str]) -> float:
    if "r_scale" in arguments and to_real(arguments["r_scale"], "r_scale") != 1.0:
        raise IonloopError(f"its Potential has r_scale, which is not supported: {WITH_QUIPPY}")
    return to_real(arguments.get("E_scale", "1"), "E_scale")


def _read_coordinate(element: ElementTree.Element, folder: Path, version: int) -> Coordinate:
    label = element.get("label", "")
    code = attribute(element, "covariance_type")
    covariance = _COVARIANCE_OF_CODE.get(code)
    if covariance is None:
        name = _UNSUPPORTED_COVARIANCES.get(code, "unknown")
        raise IonloopError(
            f"the coordinate {label!r} has covariance type {code} ({name}), and only ard_se and dot_product are "
            f"supported: {WITH_QUIPPY}"
        )
    if not logical(element, "sparsified", True):
        raise IonloopError(f"the coordinate {label!r} is not sparsified, which is not supported")
    descriptor = parse_descriptor(only_child(element, "descriptor").text or "", version)
    n_dimensions = integer(element, "dimensions")
    if n_dimensions != descriptor.n_dimensions:
        raise MalformedXml(
            f"the coordinate {label!r} has {n_dimensions} dimensions, its descriptor {descriptor.text!r} "
            f"{descriptor.n_dimensions}"
        )
    permutations = _read_permutations(element, label, descriptor)
    theta = element.find("theta")
    scales = None if theta is None else reals(theta.text or "", f"theta of {label!r}")
    zeta = None
    if covariance == "dot_product":
        zeta, scales = _read_zeta(element, scales, label), None
    elif scales is None or len(scales) != n_dimensions or np.any(scales <= 0):
        raise MalformedXml(f"the coordinate {label!r} needs {n_dimensions} positive length scales theta")
    points = _sparse_elements(element, label)
    return Coordinate(
        descriptor=descriptor,
        covariance=covariance,
        delta=real(element, "signal_variance"),
        sparse_points=_read_sparse_points(element, points, folder, n_dimensions),
        alphas=np.array([real(point, "alpha") for point in points]),
        sparse_cutoffs=np.array([real(point, "sparseCutoff") for point in points]),
        zeta=zeta,
        theta=scales,
        signal_mean=real(element, "signal_mean") if element.get("signal_mean") is not None else 0.0,
        label=label,
        permutations=permutations,
    )


def _read_zeta(element: ElementTree.Element, theta: FloatArray | None, label: str) -> float:
    """The exponent of a dot product; old files hold it as theta."""
    if element.get("zeta") is not None:
        zeta = real(element, "zeta")
    elif theta is not None and len(theta):
        zeta = float(theta[0])
    else:
        raise MalformedXml(f"the coordinate {label!r} has neither zeta nor theta")
    if zeta < 1:
        raise MalformedXml(f"the coordinate {label!r} has zeta {zeta}; it must be 1 or more")
    return zeta


def _read_permutations(element: ElementTree.Element, label: str, descriptor: Descriptor) -> tuple[tuple[int, ...], ...]:
    """The orders of the components that count as one descriptor; none where there is only their own."""
    n_dimensions = descriptor.n_dimensions
    found = []
    for child in element.findall("permutation"):
        order = [int(word) - 1 if word.isdecimal() else -1 for word in (child.text or "").split()]
        # gap_fit writes the identity of descriptors without permutations as a single 1.
        if n_dimensions > 1 and order == [0]:
            order = list(range(n_dimensions))
        if sorted(order) != list(range(n_dimensions)):
            raise MalformedXml(
                f"a permutation of {label!r} is {child.text!r}, not an order of {n_dimensions} components"
            )
        found.append(tuple(order))
    announced = element.get("n_permutations")
    if announced is not None and found and integer(element, "n_permutations") != len(found):
        raise MalformedXml(f"the coordinate {label!r} announces {announced} permutations and has {len(found)}")
    distinct = sorted(set(found) | {tuple(range(n_dimensions))})
    expected = sorted(descriptor.permutations) if isinstance(descriptor, TripletDescriptor) else distinct[:1]
    if distinct != expected or (not found and announced not in (None, str(len(expected)))):
        raise IonloopError(
            f"the coordinate {label!r} permutes its components in {announced or len(found)} ways, which is not "
            f"supported for {descriptor.text!r}: {WITH_QUIPPY}"
        )
    return tuple(expected) if len(expected) > 1 else ()


def _sparse_elements(element: ElementTree.Element, label: str) -> list[ElementTree.Element]:
    points = element.findall("sparseX")
    announced = integer(element, "n_sparseX")
    if not points or announced != len(points):
        raise MalformedXml(f"the coordinate {label!r} announces {announced} sparse points and has {len(points)}")
    points.sort(key=lambda point: integer(point, "i"))
    if [integer(point, "i") for point in points] != list(range(1, len(points) + 1)):
        raise MalformedXml(f"the sparse points of {label!r} are not numbered from 1 to {len(points)}")
    return points


def _read_sparse_points(
    element: ElementTree.Element, points: Sequence[ElementTree.Element], folder: Path, n_dimensions: int
) -> FloatArray:
    name = element.get("sparseX_filename")
    if not name:
        return np.array([_inline_point(point, n_dimensions) for point in points])
    try:
        content = (folder / name).read_bytes()
    except (OSError, ValueError) as error:
        raise IonloopError(f"its sparse-point file {name} cannot be read: {error}; copy it with the XML") from error
    checksum = element.get("sparseX_md5sum", "").strip()
    if checksum and hashlib.md5(content, usedforsecurity=False).hexdigest() != checksum:
        raise IonloopError(f"its sparse-point file {name} is not the one it was fitted with (checksum differs)")
    values = reals(content.decode("ascii", "replace"), f"the file {name}")
    if len(values) != len(points) * n_dimensions:
        raise IonloopError(
            f"its sparse-point file {name} has {len(values)} numbers instead of {len(points)} points of {n_dimensions}"
        )
    return values.reshape(len(points), n_dimensions)


def _inline_point(point: ElementTree.Element, n_dimensions: int) -> FloatArray:
    name = f"sparse point {point.get('i')}"
    if not logical(point, "sliced", False):
        values = reals(point.text or "", name)
    else:
        slices = sorted(point.findall("sparseX_slice"), key=lambda part: integer(part, "start"))
        values = np.concatenate([np.empty(0), *(reals(part.text or "", name) for part in slices)])
        ends = [integer(part, "end") for part in slices]
        starts = [integer(part, "start") for part in slices]
        if starts != [1, *(end + 1 for end in ends[:-1])]:
            raise MalformedXml(f"the slices of {name} leave gaps")
    if len(values) != n_dimensions:
        raise MalformedXml(f"{name} has {len(values)} components instead of {n_dimensions}")
    return values


def _xml_lines(model: GapModel, names: Sequence[str], checksums: Sequence[str]) -> list[str]:
    label = model.label
    scale = "" if model.energy_scale == 1.0 else f" E_scale={model.energy_scale!r}"
    quoted = quoteattr(label)
    own = f"{' '.join(_CHARGED_GAP if model.lacks_charges else _GAP)} label={label}{scale}"
    if model.core is not None:
        own = f"Sum init_args_pot1={{IP Glue}} init_args_pot2={{{own}}}"
    lines = [
        f"<{label}>",
        f"<Potential label={quoted} init_args={quoteattr(own)}/>",
        *(glue_lines(model.core) if model.core is not None else ()),
        f'<GAP_params label={quoted} gap_version="{model.gap_version}">',
        f'  <GAP_data do_core="{"F" if model.core is None else "T"}">',
    ]
    for number in range(1, LARGEST_ATOMIC_NUMBER + 1):
        energy = model.isolated_atom_energies.get(number, 0.0)
        lines.append(f'    <e0 Z="{number}" value="{energy:.17e}"/>')
    lines.append("  </GAP_data>")
    lines.append(f'  <gpSparse label={quoted} n_coordinate="{len(model.coordinates)}" fitted="T">')
    for index, coordinate in enumerate(model.coordinates):
        file_attributes = f'sparseX_filename={quoteattr(names[index])} sparseX_md5sum="{checksums[index]}"'
        lines += _coordinate_lines(coordinate, f"{label}{index + 1}", file_attributes)
    lines += ["  </gpSparse>"]
    if model.command_line:
        lines.append(f"  <command_line><![CDATA[ {model.command_line.replace(']]>', ']] >')}]]></command_line>")
    return [*lines, "</GAP_params>", f"</{label}>", ""]


def _coordinate_lines(coordinate: Coordinate, label: str, file_attributes: str) -> list[str]:
    n_sparse, n_dimensions = coordinate.sparse_points.shape
    orders = coordinate.permutations or (tuple(range(n_dimensions)),)
    zeta = "" if coordinate.zeta is None else f'zeta="{coordinate.zeta:.17e}" '
    lines = [
        f'    <gpCoordinates label={quoteattr(label)} dimensions="{n_dimensions}" '
        f'signal_variance="{coordinate.delta:.17e}" signal_mean="{coordinate.signal_mean:.17e}" sparsified="T" '
        f'n_permutations="{len(orders)}" covariance_type="{_CODE_OF_COVARIANCE[coordinate.covariance]}" {zeta}'
        f'n_sparseX="{n_sparse}" {file_attributes}>'
    ]
    if coordinate.theta is not None:
        lines.append(f"      <theta> {' '.join(f'{value:.17e}' for value in coordinate.theta)} </theta>")
    text = coordinate.descriptor.text.replace("&", "&amp;").replace("<", "&lt;")
    lines.append(f"      <descriptor>{text}</descriptor>")
    for number, order in enumerate(orders, start=1):
        places = " ".join(str(place + 1) for place in order)
        lines.append(f'      <permutation i="{number}">{places}</permutation>')
    weights = zip(coordinate.alphas.tolist(), coordinate.sparse_cutoffs.tolist(), strict=True)
    lines += [
        f'      <sparseX i="{index}" alpha="{alpha:.17e}" sparseCutoff="{cutoff:.17e}"/>'
        for index, (alpha, cutoff) in enumerate(weights, start=1)
    ]
    return [*lines, "    </gpCoordinates>"]
