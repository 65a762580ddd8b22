"""The analyses that a campaign ends with, one folder each: what it is, its graph, what the report says of it."""
