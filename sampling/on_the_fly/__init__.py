"""Learning while exploring: walkers that say where their model is new, frames to label, audits that measure errors."""
