// long
// timeout: 3000
// A million forged signal frames.
#include "frame_fuzzer.hpp"

int main() { return frame_fuzz::run(1'000'000); }
