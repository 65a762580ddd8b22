"""What the commands share: options, the boundary to the user, signals, terminals, what the machine offers."""
