"""What models know of their own errors: posteriors, their calibration, and which labels would tell most."""
