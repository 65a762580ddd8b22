"""What defects cost, without and in an electric field."""
