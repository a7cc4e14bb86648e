// long
// timeout: 3000
// needs-linux: 6.12
// A million lines for tracefs.
#include "tracefs_fuzzer.hpp"

int main() { return tracefs_fuzz::run(1'000'000); }
