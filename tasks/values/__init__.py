"""What results hold: a kind with a type of its values per kind of result, which says their units."""
