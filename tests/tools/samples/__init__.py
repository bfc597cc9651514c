"""Made-up documents, models and vectors."""
