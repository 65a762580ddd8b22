"""What a campaign answers: errors, and what later floors build on. Pure functions on arrays."""
