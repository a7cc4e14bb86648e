// long
// timeout: 3000
// A million patterns for the names of core files, and five thousand crashes.
#include "pattern_fuzzer.hpp"

int main(int count, char** arguments) {
    return count > 1 ? pattern_fuzz::help(count, arguments) : pattern_fuzz::run(1'000'000);
}
