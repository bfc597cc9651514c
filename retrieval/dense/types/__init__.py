"""The types of dense index of this package, a file each; those with inverted lists share a room."""
