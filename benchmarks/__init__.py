"""What shows how Menshen behaves when it is full."""
