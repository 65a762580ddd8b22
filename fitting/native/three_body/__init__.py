"""Three-body terms: triplets, their kernel, tables and rows."""
