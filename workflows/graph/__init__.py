"""What graphs are described from, and the jobs that they are made of."""
