"""Glasses: made from melts with final models, each of them a job, and compared."""
