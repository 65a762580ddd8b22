"""Descriptor command lines of GAP files, such as ``soap n_max=8 l_max=4 cutoff=6.0 ... species_Z={3 15 16}``.

Keys that only concern the fit (``n_sparse``, ``delta``, ``covariance_type`` ...) are ignored; what would change
the descriptor and is not supported is refused by name.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import permutations
from typing import Literal

from ...core.errors import IonloopError

RadialBasis = Literal["EQUISPACED_GAUSS", "GTO", "POLY"]
"""Radial bases of the SOAP expansion."""

_RADIAL_BASES: Mapping[str, RadialBasis] = {name: name for name in ("EQUISPACED_GAUSS", "GTO", "POLY")}
# Before these versions of the file format the central atom counted for all species, and the power spectrum
# lacked its factor 1/sqrt(2l+1).
_VERSION_CENTRAL_REFERENCE = 1426512068
_VERSION_POWER_NORMALISED = 1423143769
_LARGEST_N_MAX = 64
_LARGEST_L_MAX = 24
_LARGEST_DIMENSION = 2_000_000
_ALIASES: Mapping[str, str] = {
    "atom_gaussian_width": "atom_sigma",
    "normalize": "normalise",
    "basis_error": "basis_error_exponent",
    "Z_center": "Z",
}
WITH_QUIPPY = "evaluate the potential with quippy (--backend quippy)"
"""Appended to the refusal of what QUIP can evaluate and this code cannot."""
TripletForm = Literal["compact", "clusters", "angle"]
"""How triplets of atoms are counted, see `TripletDescriptor`."""


@dataclass(frozen=True)
class Distance2bDescriptor:
    """Distance of two atoms, and which pairs count: ``distance_2b``, or ``distance_Nb`` of order 2.

    Attributes
    ----------
    text
        The command line.
    cutoff_A, transition_width_A
        Where the cutoff function ends, and over which width it falls, Å.
    numbers
        Atomic numbers of the two atoms, in either order; 0 stands for any.
    exponents
        The descriptor is the distance (Å) raised to each of these.
    tail_exponent, tail_range_per_A
        The cutoff function is multiplied by (erf(a r)/r)^p; p = 0 leaves it.
    instances_per_pair
        How often a pair of atoms counts: in both orders, or once (compact_clusters=F).
    """

    text: str
    cutoff_A: float
    transition_width_A: float
    numbers: tuple[int, int]
    exponents: tuple[float, ...] = (1.0,)
    tail_exponent: float = 0.0
    tail_range_per_A: float = 1.0
    instances_per_pair: int = 2

    kind = "distance_2b"

    @property
    def n_dimensions(self) -> int:
        """Components of the descriptor."""
        return len(self.exponents)

    @property
    def atomic_numbers(self) -> frozenset[int]:
        """Elements that it names; 0 stands for any."""
        return frozenset(self.numbers)


@dataclass(frozen=True)
class TripletDescriptor:
    """Three numbers of three atoms, and which triplets count: ``distance_Nb`` of order 3, or ``angle_3b``.

    Attributes
    ----------
    text
        The command line.
    cutoff_A, transition_width_A
        Where the cutoff function of a distance ends, and over which width it falls, Å.
    form
        "compact": a central atom and two neighbours, components d(c,a), d(c,b), d(a,b), weighted by
        f(d(c,a)) f(d(c,b)), a and b in the order of atomic number and index, each atom of a triplet being central
        in turn. "clusters": every three atoms that two distances below the cutoff connect, once, in the order of
        atomic number. "angle": as compact, with components d(c,a) + d(c,b), (d(c,a) - d(c,b))² and d(a,b), and
        both orders of the neighbours.
    numbers
        Atomic numbers: those of the three atoms in ascending order, or of the central atom and of both
        neighbours for "angle". 0 stands for any; one 0 among those of distance_Nb makes all of them so, as in QUIP.
    """

    text: str
    cutoff_A: float
    transition_width_A: float
    form: TripletForm
    numbers: tuple[int, int, int]

    n_dimensions = 3

    @property
    def kind(self) -> str:
        """Name of the descriptor in a command line."""
        return "angle_3b" if self.form == "angle" else "distance_Nb"

    @property
    def permutations(self) -> tuple[tuple[int, ...], ...]:
        """Orders of the components that exchange atoms of equal numbers, the identity first."""
        if self.form == "angle":
            return ((0, 1, 2),)
        # The distances between the atoms 0 and 1, 0 and 2, 1 and 2.
        place = {frozenset(edge): index for index, edge in enumerate(((0, 1), (0, 2), (1, 2)))}
        kept = [order for order in permutations(range(3)) if all(self.numbers[a] == self.numbers[b] for a, b in
                                                                 enumerate(order))]  # fmt: skip
        return tuple(tuple(place[frozenset((order[a], order[b]))] for a, b in ((0, 1), (0, 2), (1, 2)))
                     for order in kept)  # fmt: skip

    @property
    def atomic_numbers(self) -> frozenset[int]:
        """Elements that it names; 0 stands for any."""
        return frozenset(self.numbers)


@dataclass(frozen=True)
class SoapCompression:
    """How the channels of a SOAP expansion are mixed before the power spectrum is taken.

    Attributes follow the command line: ``nu_R``, ``nu_S``, ``R_mix``, ``Z_mix``, ``sym_mix``, ``K``,
    ``mix_shift``, ``coupling``, ``diagonal_radial``; ``Z_map`` holds one list of species groups, or two.
    """

    nu_R: int = 2
    nu_S: int = 2
    R_mix: bool = False
    Z_mix: bool = False
    sym_mix: bool = False
    K: int = 0
    mix_shift: int = 0
    Z_map: tuple[tuple[tuple[int, ...], ...], ...] = ()
    coupling: bool = True
    diagonal_radial: bool = False

    @property
    def is_plain(self) -> bool:
        """Whether this is the full power spectrum."""
        return self == SoapCompression()

    @property
    def is_symmetric(self) -> bool:
        """Whether both factors of a product are mixed alike."""
        if self.Z_map:
            return len(self.Z_map) == 1
        if self.R_mix or self.Z_mix:
            return self.sym_mix
        return self.nu_R != 1 and self.nu_S != 1


@dataclass(frozen=True)
class SoapDescriptor:
    """Smooth overlap of atomic positions (Bartók, Kondor, Csányi, Phys. Rev. B 2013, 87, 184115).

    Attributes
    ----------
    text
        The command line.
    cutoff_A, transition_width_A
        Where the cutoff function ends, and over which width it falls, Å.
    n_max, l_max
        Number of radial functions; highest angular momentum.
    atom_sigma_A
        Width of the Gaussian on each neighbour, Å.
    central_numbers
        Atomic numbers of the atoms that have this descriptor; (0,) means all.
    species
        Atomic numbers of the neighbours, in the order of the channels; (0,) puts all into one.
    central_weight
        Of the central atom in its own density.
    central_in_all_species
        Whether the central atom counts for every species.
    radial_basis, basis_error_exponent
        The radial functions, and how far out they reach.
    normalise
        Whether the power spectrum is divided by its norm.
    covariance_sigma0
        Constant appended after normalisation.
    power_normalised
        Whether the power spectrum has its factor 1/sqrt(2l+1) (all but old files).
    compression
        Mixing of channels.
    """

    text: str
    cutoff_A: float
    transition_width_A: float
    n_max: int
    l_max: int
    atom_sigma_A: float
    central_numbers: tuple[int, ...]
    species: tuple[int, ...]
    central_weight: float = 1.0
    central_in_all_species: bool = False
    radial_basis: RadialBasis = "EQUISPACED_GAUSS"
    basis_error_exponent: float = 10.0
    normalise: bool = True
    covariance_sigma0: float = 0.0
    power_normalised: bool = True
    compression: SoapCompression = SoapCompression()

    kind = "soap"

    @property
    def n_species(self) -> int:
        """Number of species channels."""
        return len(self.species)

    @property
    def n_channels(self) -> int:
        """Channels of the expansion, (species, radial function) pairs, species outermost."""
        return len(self.species) * self.n_max

    @property
    def n_dimensions(self) -> int:
        """Components of the descriptor, the appended constant included."""
        return count_components(self) + 1

    @property
    def atomic_numbers(self) -> frozenset[int]:
        """Elements that it names; 0 stands for any."""
        return frozenset({*self.central_numbers, *self.species} - ({0} if self.central_numbers != (0,) else set()))


def count_components(descriptor: SoapDescriptor) -> int:
    """Return the length of the power spectrum, the appended constant not counted."""
    compression, n_species, n_max = descriptor.compression, descriptor.n_species, descriptor.n_max
    first, second = channel_widths(descriptor)
    if compression.diagonal_radial:
        n_products = n_max * n_species * (n_species + 1) // 2
    elif not compression.coupling:
        n_products = _count_uncoupled(descriptor)
    elif compression.is_symmetric:
        n_products = first * (first + 1) // 2
    else:
        n_products = first * second
    return n_products * (descriptor.l_max + 1)


def channel_widths(descriptor: SoapDescriptor) -> tuple[int, int]:
    """Return the numbers of channels after mixing, K1 and K2."""
    compression, n_species, n_max = descriptor.compression, descriptor.n_species, descriptor.n_max
    if compression.Z_map:
        counts = [len(groups) * n_max for groups in compression.Z_map]
        return counts[0], counts[-1]
    if compression.R_mix and compression.Z_mix:
        return compression.K, compression.K
    if compression.Z_mix:
        return (compression.K * n_max,) * 2
    if compression.R_mix:
        return (compression.K * n_species,) * 2
    radial, species = compression.nu_R, compression.nu_S
    first = (n_species if species > 0 else 1) * (n_max if radial > 0 else 1)
    second = (n_species if species > 1 else 1) * (n_max if radial > 1 else 1)
    return first, second


def _count_uncoupled(descriptor: SoapDescriptor) -> int:
    compression = descriptor.compression
    if compression.R_mix != compression.Z_mix:
        n_free = descriptor.n_max if compression.Z_mix else descriptor.n_species
        return compression.K * (n_free * (n_free + 1) // 2 if compression.sym_mix else n_free**2)
    return min(channel_widths(descriptor))


Descriptor = Distance2bDescriptor | TripletDescriptor | SoapDescriptor


def parse_descriptor(text: str, gap_version: int) -> Descriptor:
    """Parse a descriptor's command line.

    Parameters
    ----------
    text
        The line, its first word the descriptor's name.
    gap_version
        Format version of the file it stands in; old ones have other conventions.

    Raises
    ------
    IonloopError
        For a descriptor or an option that is not supported, or a value that makes no sense.
    """
    words, keys = split_key_values(text)
    kind = words[0] if words else ""
    if len(words) > 1:
        keys = {**dict.fromkeys(words[1:], "T"), **keys}
    reader = _Keys(text.strip(), {_ALIASES.get(key, key): value for key, value in keys.items()})
    if kind == "distance_2b":
        return _distance_2b(reader)
    if kind == "distance_Nb":
        return _distance_nb(reader)
    if kind == "angle_3b":
        return _angle_3b(reader)
    if kind == "soap":
        return _soap(reader, gap_version)
    raise IonloopError(
        f"the descriptor {kind!r} is not supported (distance_2b, distance_Nb of order 2 and 3, angle_3b and soap are): "
        f"{WITH_QUIPPY}"
    )


def split_key_values(text: str) -> tuple[list[str], dict[str, str]]:
    """Split a QUIP command line into its bare words and its key=value pairs; braces and quotes hold values."""
    closing = {"{": "}", '"': '"', "'": "'"}
    tokens: list[str] = []
    token, waiting_for, depth = "", "", 0
    for character in text:
        if waiting_for:
            if character == "{" == next((k for k, v in closing.items() if v == waiting_for), ""):
                depth += 1
            elif character == waiting_for:
                depth -= 1
            if depth == 0:
                waiting_for = ""
            else:
                token += character
        elif character in closing:
            waiting_for, depth = closing[character], 1
            token += "\0" if token.endswith("=") else ""
        elif character.isspace():
            tokens.append(token)
            token = ""
        else:
            token += character
    if waiting_for:
        raise IonloopError(f"the command line {text!r} has a {waiting_for!r} missing")
    tokens = [part for part in [*tokens, token] if part]
    words = [part for part in tokens if "=" not in part]
    pairs = (part.split("=", 1) for part in tokens if "=" in part)
    return words, {key: value.removeprefix("\0").strip("\0 {}") for key, value in pairs}


@dataclass(frozen=True)
class _Keys:
    """Typed access to the keys of one command line."""

    text: str
    values: Mapping[str, str]

    def refuse(self, key: str, value: str, allowed: str) -> IonloopError:
        return IonloopError(f"{key}={value!r} in the descriptor {self.text!r}: {allowed}")

    def number(self, key: str, default: float | None = None) -> float:
        value = self.values.get(key)
        if value is None:
            if default is None:
                raise IonloopError(f"the descriptor {self.text!r} lacks {key}")
            return default
        try:
            number = float(value)
        except ValueError:
            number = math.nan
        if not math.isfinite(number) or "_" in value:
            raise self.refuse(key, value, "a finite number is needed")
        return number

    def numbers(self, key: str, default: tuple[float, ...]) -> tuple[float, ...]:
        value = self.values.get(key)
        if value is None:
            return default
        return tuple(_Keys(self.text, {key: part}).number(key) for part in value.split())

    def positive(self, key: str, default: float | None = None) -> float:
        number = self.number(key, default)
        if number <= 0:
            raise self.refuse(key, f"{number:g}", "it must be positive")
        return number

    def integer(self, key: str, default: int | None, lowest: int, highest: int) -> int:
        number = self.number(key, default)
        if number != int(number) or not lowest <= number <= highest:
            raise self.refuse(key, f"{number:g}", f"a whole number from {lowest} to {highest} is needed")
        return int(number)

    def integers(self, key: str, default: tuple[int, ...]) -> tuple[int, ...]:
        value = self.values.get(key)
        return default if value is None else self.parse_integers(key, value)

    def parse_integers(self, key: str, value: str) -> tuple[int, ...]:
        parts = value.replace(",", " ").split()
        if not parts or not all(part.isdecimal() and len(part) < 5 for part in parts):
            raise self.refuse(key, value, "atomic numbers are needed")
        return tuple(int(part) for part in parts)

    def logical(self, key: str, default: bool) -> bool:
        value = self.values.get(key)
        if value is None:
            return default
        letter = value.strip(".").upper()[:1]
        if letter not in ("T", "F"):
            raise self.refuse(key, value, "T or F is needed")
        return letter == "T"


def _distance_2b(keys: _Keys) -> Distance2bDescriptor:
    for key in ("only_intra", "only_inter"):
        if keys.logical(key, False):
            raise IonloopError(f"{key} in the descriptor {keys.text!r} is not supported: {WITH_QUIPPY}")
    n_exponents = keys.integer("n_exponents", 1, 1, 50)
    exponents = keys.numbers("exponents", (1.0,))
    if len(exponents) != n_exponents:
        raise keys.refuse("exponents", keys.values.get("exponents", ""), f"{n_exponents} of them are needed")
    cutoff = keys.positive("cutoff")
    return Distance2bDescriptor(
        text=keys.text,
        cutoff_A=cutoff,
        transition_width_A=_transition_width(keys, cutoff),
        numbers=(keys.integer("Z1", 0, 0, 118), keys.integer("Z2", 0, 0, 118)),
        exponents=exponents,
        tail_exponent=keys.number("tail_exponent", 0.0),
        tail_range_per_A=keys.positive("tail_range", 1.0),
    )


def _distance_nb(keys: _Keys) -> Distance2bDescriptor | TripletDescriptor:
    order = keys.integer("order", None, 1, 100)
    if order not in (2, 3):
        raise IonloopError(
            f"order={order} in the descriptor {keys.text!r} is not supported (2 and 3 are): {WITH_QUIPPY}"
        )
    numbers = tuple(sorted(keys.integers("Z", (0,) * order)))
    if len(numbers) != order:
        raise keys.refuse("Z", keys.values["Z"], f"{order} atomic numbers are needed")
    cutoff = keys.positive("cutoff")
    width = _transition_width(keys, cutoff)
    compact = keys.logical("compact_clusters", True)
    if order == 3:
        form: TripletForm = "compact" if compact else "clusters"
        if form == "clusters" and 0 in numbers and any(numbers):
            raise IonloopError(
                f"Z={keys.values['Z']!r} with compact_clusters=F in the descriptor {keys.text!r} mixes 0 with "
                f"elements, which is not supported: {WITH_QUIPPY}"
            )
        return TripletDescriptor(keys.text, cutoff, width, form, (numbers[0], numbers[1], numbers[2]))
    # One 0 among them makes all of them any element, as in QUIP.
    pair = (0, 0) if 0 in numbers else (numbers[0], numbers[1])
    return Distance2bDescriptor(keys.text, cutoff, width, pair, instances_per_pair=2 if compact else 1)


def _angle_3b(keys: _Keys) -> TripletDescriptor:
    cutoff = keys.positive("cutoff")
    centre, first, second = (keys.integer(key, 0, 0, 118) for key in ("Z", "Z1", "Z2"))
    return TripletDescriptor(keys.text, cutoff, _transition_width(keys, cutoff), "angle", (centre, first, second))


def _transition_width(keys: _Keys, cutoff: float) -> float:
    width = keys.number("cutoff_transition_width", 0.5)
    if not 0 < width <= cutoff:
        raise keys.refuse("cutoff_transition_width", f"{width:g}", f"it must be above 0 and at most {cutoff:g}")
    return width


def _soap(keys: _Keys, gap_version: int) -> SoapDescriptor:
    _refuse_unsupported_soap(keys)
    species = keys.integers("species_Z", (0,))
    n_species = keys.integer("n_species", 1, 1, 118)
    central = keys.integers("Z", (0,))
    if len(species) != n_species:
        raise keys.refuse("species_Z", " ".join(map(str, species)), f"n_species={n_species} of them are needed")
    if len(central) != keys.integer("n_Z", 1, 1, 118):
        raise keys.refuse("Z", " ".join(map(str, central)), "n_Z of them are needed")
    if len(set(species)) != len(species) or (0 in species and n_species > 1) or (0 in central and len(central) > 1):
        raise keys.refuse("species_Z", " ".join(map(str, species)), "the species must differ, 0 stands alone")
    cutoff = keys.positive("cutoff")
    basis = keys.values.get("radial_basis", "EQUISPACED_GAUSS")
    if basis not in _RADIAL_BASES:
        raise keys.refuse("radial_basis", basis, f"supported are {', '.join(_RADIAL_BASES)}")
    in_all = keys.logical("central_reference_all_species", n_species == 1)
    descriptor = SoapDescriptor(
        text=keys.text,
        cutoff_A=cutoff,
        transition_width_A=_transition_width(keys, cutoff),
        n_max=keys.integer("n_max", None, 1, _LARGEST_N_MAX),
        l_max=keys.integer("l_max", None, 0, _LARGEST_L_MAX),
        atom_sigma_A=keys.positive("atom_sigma"),
        central_numbers=central,
        species=species,
        central_weight=keys.number("central_weight", 1.0),
        central_in_all_species=in_all or gap_version < _VERSION_CENTRAL_REFERENCE,
        radial_basis=_RADIAL_BASES[basis],
        basis_error_exponent=keys.positive("basis_error_exponent", 10.0),
        normalise=keys.logical("normalise", True),
        covariance_sigma0=keys.number("covariance_sigma0", 0.0),
        power_normalised=gap_version >= _VERSION_POWER_NORMALISED,
        compression=_compression(keys, species),
    )
    if not 0 < descriptor.n_dimensions <= _LARGEST_DIMENSION:
        raise IonloopError(
            f"the descriptor {keys.text!r} has {descriptor.n_dimensions} components; at most "
            f"{_LARGEST_DIMENSION} are supported"
        )
    return descriptor


def _refuse_unsupported_soap(keys: _Keys) -> None:
    if keys.logical("average", False):
        raise IonloopError(f"average=T in the descriptor {keys.text!r} is not supported: {WITH_QUIPPY}")
    for key, harmless in (("cutoff_dexp", 0.0), ("cutoff_scale", None), ("cutoff_rate", None)):
        if harmless is not None and keys.number(key, harmless) != harmless:
            raise IonloopError(f"{key} in the descriptor {keys.text!r} is not supported: {WITH_QUIPPY}")


def _compression(keys: _Keys, species: tuple[int, ...]) -> SoapCompression:
    compression = SoapCompression(
        nu_R=keys.integer("nu_R", 2, 0, 2),
        nu_S=keys.integer("nu_S", 2, 0, 2),
        R_mix=keys.logical("R_mix", False),
        Z_mix=keys.logical("Z_mix", False),
        sym_mix=keys.logical("sym_mix", False),
        K=keys.integer("K", 0, 0, 10_000),
        mix_shift=keys.integer("mix_shift", 0, 0, 10**9),
        Z_map=_species_groups(keys, species),
        coupling=keys.logical("coupling", True),
        diagonal_radial=keys.logical("diagonal_radial", False),
    )
    mixes = compression.R_mix or compression.Z_mix
    if mixes and compression.K < 1:
        raise keys.refuse("K", str(compression.K), "R_mix and Z_mix need a positive number of channels K")
    kinds = [
        mixes,
        (compression.nu_R, compression.nu_S) != (2, 2),
        bool(compression.Z_map),
        compression.diagonal_radial,
    ]
    if sum(kinds) > 1:
        raise IonloopError(
            f"the descriptor {keys.text!r} combines several of R_mix/Z_mix, nu_R/nu_S, Z_map and diagonal_radial, "
            f"which is not supported: {WITH_QUIPPY}"
        )
    if not compression.coupling and 1 in (compression.nu_R, compression.nu_S):
        raise keys.refuse("coupling", "F", "it is not supported with nu_R=1 or nu_S=1")
    return compression


def _species_groups(keys: _Keys, species: tuple[int, ...]) -> tuple[tuple[tuple[int, ...], ...], ...]:
    value = keys.values.get("Z_map", "").strip()
    if not value:
        return ()
    lists = value.split(":")
    if len(lists) > 2:
        raise keys.refuse("Z_map", value, "at most two lists of groups, separated by ':', are possible")
    groups = tuple(tuple(keys.parse_integers("Z_map", group) for group in part.split(",")) for part in lists)
    for part in groups:
        if sorted(number for group in part for number in group) != sorted(species):
            raise keys.refuse("Z_map", value, "each list must name every species of species_Z once")
    return groups
