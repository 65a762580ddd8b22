"""The pages: a blueprint for each kind of thing that a store holds."""
