"""Jobs of learning on the fly: legs of walkers, rounds that choose what is labelled, updates of the model in place."""
