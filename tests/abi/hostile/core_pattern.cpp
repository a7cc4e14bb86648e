// timeout: 120
// The fuzzer of core_pattern for a while; the long tier runs it for a million.
#include "pattern_fuzzer.hpp"

int main(int count, char** arguments) {
    return count > 1 ? pattern_fuzz::help(count, arguments) : pattern_fuzz::run(20'000);
}
