"""What an operator should have done once before it happens: sleep and wake, and each restore, on one machine."""
