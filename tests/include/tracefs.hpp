// tracefs, mounted for a test, and its files.
#pragma once

#include <dirent.h>
#include <fcntl.h>
#include <string>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "check.hpp"
#include "proc_text.hpp"

namespace tracefs {

inline std::string place;

inline std::string path(const std::string& name) { return place + "/" + name; }

inline std::string read_all(const std::string& name, int flags = 0) {
    const int fd = open(path(name).c_str(), O_RDONLY | flags);
    if (fd < 0) return "?";
    std::string text;
    char buffer[4096];
    ssize_t got;
    while ((got = read(fd, buffer, sizeof buffer)) > 0) text.append(buffer, size_t(got));
    close(fd);
    return text;
}

/// Whether that is all that the file says.
inline bool says(const std::string& name, const std::string& wanted) {
    const std::string found = read_all(name);
    if (found != wanted) printf("%s says: %s\n", name.c_str(), found.c_str());
    return found == wanted;
}

/// 0 or the error. O_APPEND keeps what is there, in the files where that makes a difference.
inline int write_text(const std::string& name, const std::string& text, int flags = 0) {
    const int fd = open(path(name).c_str(), O_WRONLY | flags);
    if (fd < 0) return errno;
    const ssize_t written = write(fd, text.data(), text.size());
    const int error = written < 0 ? errno : 0;
    if (!error) CHECK_EQ(size_t(written), text.size());
    close(fd);
    return error;
}

/// Everything off and empty.
inline void reset() {
    write_text("tracing_on", "1");
    write_text("set_event", "\n", O_TRUNC);
    write_text("set_event_pid", "\n", O_TRUNC);
    write_text("trace", "\n", O_TRUNC);
    errno = 0;
}

/// Mounts it in a folder of its own; where there is none, the test is skipped on Linux and fails on Linnet.
inline void mount() {
    char folder[] = "/tmp/tracefs.XXXXXX";
    REQUIRE(mkdtemp(folder));
    place = folder;
    if (::mount("nodev", folder, "tracefs", 0, nullptr) < 0) {
        rmdir(folder);
        proc_text::needs(false, "no tracefs");
    }
    reset();
}

inline void unmount() {
    reset();
    CHECK_OK(umount2(place.c_str(), MNT_DETACH));
    rmdir(place.c_str());
}

inline bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

inline size_t count(const std::string& text, const std::string& part) {
    size_t found = 0;
    for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++found;
    return found;
}

/// The trace without its head.
inline std::string entries(const std::string& name = "trace") {
    std::string all = read_all(name), text;
    for (size_t at = 0; at < all.size();) {
        const size_t end = std::min(all.find('\n', at), all.size() - 1) + 1;
        if (all[at] != '#') text += all.substr(at, end - at);
        at = end;
    }
    return text;
}

} // namespace tracefs
