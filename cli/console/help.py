"""What the help of a command shows."""

from __future__ import annotations

from typing import Any


def hide_types_of_flags(command: Any) -> None:
    """Let a command's help show no type for what takes no value."""

    def format_help(context: Any, formatter: Any) -> None:
        for parameter in command.get_params(context):
            if getattr(parameter, "is_flag", False):
                parameter.metavar = ""
        type(command).format_help(command, context, formatter)

    command.format_help = format_help
