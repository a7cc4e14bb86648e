// /proc/kallsyms: the kernel's functions; their addresses are for who has CAP_SYSLOG, as far as kptr_restrict lets
// them.
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "check.hpp"
#include "child.hpp"

using namespace check;

namespace {

struct Seen {
    size_t lines = 0, known = 0; // known: with an address
    unsigned long long start = 0;
    bool has_start = false;
};

Seen look() {
    Seen seen;
    FILE* file = fopen("/proc/kallsyms", "r");
    CHECK(file != nullptr);
    if (!file) return seen;
    char line[1024];
    while (fgets(line, sizeof line, file)) {
        char* end = nullptr;
        const unsigned long long address = strtoull(line, &end, 16);
        CHECK_EQ(end - line, 16);
        CHECK_EQ(*end, ' ');
        CHECK_EQ(end[2], ' ');
        CHECK_GT(strcspn(end + 3, " \t\n"), 0u);
        ++seen.lines;
        seen.known += address != 0;
        if (!strcmp(end, " T _stext\n")) seen.has_start = true, seen.start = address;
    }
    fclose(file);
    return seen;
}

void restrict_to(const char* level) {
    const int knob = open("/proc/sys/kernel/kptr_restrict", O_WRONLY);
    CHECK_EQ(write(knob, level, 1), 1);
    close(knob);
}

} // namespace

int main() {
    restrict_to("0");
    Seen seen = look();
    CHECK_GT(seen.lines, 1000u);
    CHECK_GT(seen.known, 1000u);
    CHECK(seen.has_start);
    CHECK_GT(seen.start >> 63, 0u);
    CHECK_EQ(in_child([] {
                 CHECK_OK(setresuid(65534, 65534, 65534));
                 CHECK_EQ(look().known, 0u);
                 _Exit(result());
             }),
             0);
    restrict_to("2");
    seen = look();
    CHECK_GT(seen.lines, 1000u);
    CHECK_EQ(seen.known, 0u);
    restrict_to("0");
    return result();
}
