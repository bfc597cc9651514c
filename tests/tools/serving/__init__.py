"""Services, clients and their load."""
