// long
// timeout: 3000
// A million calls with hostile arguments, as root and as nobody.
#include "syscall_fuzzer.hpp"

int main() { return fuzz::run(1'000'000); }
