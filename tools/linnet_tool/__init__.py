"""The implementation of `./linnet`: builds kernels and root trees, boots guests, runs tests and benchmarks."""
