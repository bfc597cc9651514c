"""Files, requests and indexes that attack."""
