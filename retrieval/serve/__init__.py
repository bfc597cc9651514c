"""The Ray Serve application: placement, batching, admission and failures around the query path."""
