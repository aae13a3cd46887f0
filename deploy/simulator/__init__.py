"""8x8's side of the Voice API on this machine, for `ringpost dev`, tests, benchmarks and drills."""
