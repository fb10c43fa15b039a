"""What is put around a provider: each does one thing (`opening.compose` has the order)."""
