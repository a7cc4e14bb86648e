// long
// timeout: 3000
// A million forged register sets.
#include "register_fuzzer.hpp"

int main() { return register_fuzz::run(1'000'000); }
