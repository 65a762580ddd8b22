"""Species of a network, in campaigns."""
