// timeout: 240
// needs-linux: 6.12
// The fuzzer of tracefs for a while; the long tier runs it for a million.
#include "tracefs_fuzzer.hpp"

int main() { return tracefs_fuzz::run(10'000); }
