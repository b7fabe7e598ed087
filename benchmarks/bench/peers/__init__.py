"""What people would build instead of Menshen, as small as it can be: the peers that `make bench` measures."""
