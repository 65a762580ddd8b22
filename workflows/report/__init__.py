"""The report of a campaign, the methods paragraph, and results beside each other."""
