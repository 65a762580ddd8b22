"""Jobs of a screening: the relaxed cell, runs whose temperatures follow from those before, and what all say."""
