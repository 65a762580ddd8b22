"""The labelling process: engines may crash, hang or grow there, and nobody else falls."""
