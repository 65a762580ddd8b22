"""The campaign file: settings, text, problems, schema, starter files, reference page."""
