// timeout: 120
// The fuzzer of a traced program's registers for a while; the long tier runs it for a million.
#include "register_fuzzer.hpp"

int main() { return register_fuzz::run(20'000); }
