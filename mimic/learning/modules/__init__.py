"""Networks, and what is made of their weights."""
