"""A cluster's queue: profiles, job scripts, the launcher, and what runs in an allocation."""
