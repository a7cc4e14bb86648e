// timeout: 150
// The fuzzer for a while; the long tier runs it for a million calls.
#include "syscall_fuzzer.hpp"

int main() { return fuzz::run(20'000); }
