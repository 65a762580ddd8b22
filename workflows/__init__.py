"""The campaign file, job graphs and the loop."""
