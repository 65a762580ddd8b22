"""Workers: what they take, that they live, and what becomes of the jobs of those that died."""
