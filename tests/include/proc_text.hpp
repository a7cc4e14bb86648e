// Reading /proc without allocating memory in between, so that looking changes nothing that is looked at.
#pragma once

#include "check.hpp"
#include <fcntl.h>
#include <unistd.h>

namespace proc_text {

inline char buffer[1 << 18];

// The whole file; valid until the next call.
inline const char* read_file(const char* path) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return nullptr;
    size_t size = 0;
    ssize_t got;
    while (size < sizeof buffer - 1 && (got = read(fd, buffer + size, sizeof buffer - 1 - size)) > 0)
        size += size_t(got);
    buffer[size] = 0;
    close(fd);
    return buffer;
}

// The number behind "NAME" at the start of a line of `text`; -1 where there is none.
inline long long number(const char* text, const char* name) {
    size_t length = strlen(name);
    for (const char* at = text; at && *at; at = strchr(at, '\n') ? strchr(at, '\n') + 1 : nullptr)
        if (strncmp(at, name, length) == 0 && strchr(" :\t", at[length])) return atoll(at + length + 1);
    return -1;
}
inline long long number_in(const char* path, const char* name) {
    const char* text = read_file(path);
    return text ? number(text, name) : -1;
}
inline long long status(const char* name) { return number_in("/proc/self/status", name); }
inline long long meminfo(const char* name) { return number_in("/proc/meminfo", name); }

inline bool write_file(const char* path, const char* text) {
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0) return false;
    ssize_t written = write(fd, text, strlen(text));
    int error = errno;
    close(fd);
    errno = error;
    return written == ssize_t(strlen(text));
}

// A number in a file of /proc/sys or /sys that is another for as long as this lives.
class Setting {
    const char* path_;
    char before_[32] = {};

public:
    Setting(const char* path, const char* value) : path_(path) {
        if (const char* text = read_file(path)) strncpy(before_, text, sizeof before_ - 1);
        CHECK(write_file(path, value));
    }
    Setting(const Setting&) = delete;
    ~Setting() { CHECK(write_file(path_, before_)); }
};

// Where the entry of the mapping that begins at `address` starts in the text of smaps, maps or numa_maps.
inline const char* entry_of(const char* text, const void* address) {
    char begin[32];
    int length = snprintf(begin, sizeof begin, "%08lx", (unsigned long)address);
    for (const char* at = text; at && *at; at = strchr(at, '\n') ? strchr(at, '\n') + 1 : nullptr)
        if (strncmp(at, begin, size_t(length)) == 0 && (at[length] == '-' || at[length] == ' ')) return at;
    return nullptr;
}

inline bool is_linnet() {
    const char* version = read_file("/proc/version");
    return version && strstr(version, "linnet");
}

/// For what Linnet has and not every Linux: where it is missing, the test is skipped on Linux and fails on Linnet.
inline void needs(bool is_there, const char* why) {
    if (is_there) return;
    if (!is_linnet()) check::skip(why);
    check::failed(__FILE__, __LINE__, why);
    _exit(1);
}

// The kernel under test counts each page at once; Linux keeps up to 32 pages a processor aside (since 6.2).
inline bool counts_exactly() { return is_linnet(); }

} // namespace proc_text
