"""Values of XML elements, checked: what is missing or makes no sense is said, without the file's name."""

from __future__ import annotations

import math
from xml.etree import ElementTree

import numpy as np

from ...core.arrays import FloatArray


class MalformedXml(Exception):
    """What is wrong with a file, without its name."""


def only_child(element: ElementTree.Element, tag: str) -> ElementTree.Element:
    """Return the one child of a name."""
    children = element.findall(tag)
    if len(children) != 1:
        raise MalformedXml(f"{element.tag} must have one {tag}, not {len(children)}")
    return children[0]


def attribute(element: ElementTree.Element, name: str) -> str:
    """Return an attribute without blanks around it."""
    value = element.get(name)
    if value is None:
        raise MalformedXml(f"an element {element.tag} lacks its attribute {name}")
    return value.strip()


def to_real(text: str, name: str) -> float:
    """Return the finite number that a text is; ``name`` is what messages call it."""
    try:
        value = float(text.strip())
    except ValueError:
        value = math.nan
    if not math.isfinite(value) or "_" in text:
        raise MalformedXml(f"{name} is {text!r}, not a finite number")
    return value


def real(element: ElementTree.Element, name: str) -> float:
    """Return an attribute as a finite number."""
    return to_real(attribute(element, name), f"{name} of {element.tag}")


def integer(element: ElementTree.Element, name: str) -> int:
    """Return an attribute as a whole number."""
    text = attribute(element, name)
    if not text.removeprefix("-").isdecimal() or len(text) > 18:
        raise MalformedXml(f"{name} of {element.tag} is {text!r}, not a whole number")
    return int(text)


def logical(element: ElementTree.Element, name: str, default: bool) -> bool:
    """Return an attribute written T or F, the default where it is missing."""
    text = element.get(name)
    if text is None:
        return default
    letter = text.strip().strip(".").upper()[:1]
    if letter not in ("T", "F"):
        raise MalformedXml(f"{name} of {element.tag} is {text!r}, neither T nor F")
    return letter == "T"


def reals(text: str, name: str) -> FloatArray:
    """Return the finite numbers of a text, separated by blanks."""
    try:
        values = np.array(text.split(), dtype=np.float64)
    except ValueError as error:
        raise MalformedXml(f"{name} holds something that is not a number: {error}") from error
    if not np.all(np.isfinite(values)):
        raise MalformedXml(f"{name} holds numbers that are not finite")
    return values
