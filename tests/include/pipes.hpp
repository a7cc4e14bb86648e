// A pair of pipes' ends that are closed again.
#pragma once

#include <fcntl.h>
#include <unistd.h>

#include "check.hpp"

namespace check {

struct Pipe {
    explicit Pipe(int flags = O_NONBLOCK) { REQUIRE(pipe2(ends, flags) == 0); }
    Pipe(const Pipe&) = delete;
    ~Pipe() {
        close_reader();
        close_writer();
    }
    int reader() const { return ends[0]; }
    int writer() const { return ends[1]; }
    void close_reader() {
        if (ends[0] >= 0) close(ends[0]);
        ends[0] = -1;
    }
    void close_writer() {
        if (ends[1] >= 0) close(ends[1]);
        ends[1] = -1;
    }
    void put(const char* text) const { CHECK_EQ(write(ends[1], text, strlen(text)), ssize_t(strlen(text))); }
    /// What is in it begins with, and is, that text.
    void expect(const char* text) const {
        char found[4096] = "";
        const ssize_t length = read(ends[0], found, sizeof found - 1);
        found[length > 0 ? length : 0] = 0;
        CHECK_STREQ(found, text);
    }

    int ends[2];
};

} // namespace check
