"""What the parts cost; `make bench` runs it all."""
