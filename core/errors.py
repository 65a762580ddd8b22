"""Errors that a user can act on: the command line prints them without a traceback."""

from __future__ import annotations


class IonloopError(Exception):
    """Something went wrong that the message explains; ``exit_status`` is what the command line returns."""

    exit_status = 1


class Busy(IonloopError):
    """Another process holds what is needed: it is free later, and nothing is wrong with what was asked."""


class MachineAtFault(IonloopError):
    """A full disk, lost rights or a lost server: nothing is lost, and the same command carries on once it is mended."""

    exit_status = 75


class InputError(IonloopError):
    """The input or the environment is wrong: nothing was started, nothing half-written."""

    exit_status = 2


class AtomsCoincide(InputError):
    """Two atoms are at one place: in what a user gave, or where a potential has moved them."""
