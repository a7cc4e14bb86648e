// timeout: 120
// The fuzzer of signal frames for a while; the long tier runs it for a million. (On RISC-V Linux 6.12 needs more than
// two minutes for 20,000.)
#include "frame_fuzzer.hpp"

#if defined(__riscv)
constexpr int frames = 1'000;
#else
constexpr int frames = 20'000;
#endif

int main() { return frame_fuzz::run(frames); }
