"""Evidence: what is read of stores, hosts and disks so that causes can be named. Reading never changes anything."""
