// What the benchmarks of calls measure with: the least of several rounds, told as a line "bench NAME VALUE".
#pragma once

#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "counter.hpp"

namespace measuring {

constexpr int rounds = 7;

[[noreturn]] inline void die(const char* what) {
    perror(what);
    exit(1);
}

inline void must(bool holds, const char* what) {
    if (!holds) die(what);
}

inline void report(const char* name, double value) {
    printf("bench %s %.1f\n", name, value);
    fflush(stdout);
}

// The least cost of one of `count` operations that `body(count)` does.
template <typename Body>
double least(int count, Body body) {
    double best = 1e18;
    for (int round = 0; round < rounds; round++) {
        uint64_t start = counter::now();
        body(count);
        best = std::min(best, counter::units(counter::now() - start) / count);
    }
    return best;
}

template <typename Body>
void measure(const char* name, int count, Body body) {
    report(name, least(count, body));
}

} // namespace measuring
