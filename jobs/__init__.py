"""What a person runs or submits: the command line, cluster submission, evaluation."""
