"""Making a dense index: choose, train, build pieces, merge, tune. Functions of paths and arrays, no Ray."""
