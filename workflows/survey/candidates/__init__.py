"""Where the crystals of a survey come from, which of them are wanted, and which are there twice."""
