"""The taxonomy: one file a street."""
