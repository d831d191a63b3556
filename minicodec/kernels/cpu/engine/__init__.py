"""What the operators on CPUs are made of: products, loops, threads, and how functions are compiled."""
