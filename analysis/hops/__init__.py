"""Who hopped where and how often, and which hops are worth a path."""
