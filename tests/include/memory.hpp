// Helpers for tests of memory: the page, what one last-level page table maps, mappings at chosen places, and probes
// that ask the kernel whether a page can be read, so that no signal is needed.
#pragma once

#include <algorithm>
#include <cstdint>
#include <ctime>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/uio.h>
#include <unistd.h>

#include "check.hpp"

// Newer than some C library's headers.
#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#define MADV_POPULATE_WRITE 23
#endif
#ifndef MADV_DONTNEED_LOCKED
#define MADV_DONTNEED_LOCKED 24
#endif
#ifndef MADV_SOFT_OFFLINE
#define MADV_SOFT_OFFLINE 101
#endif

namespace memory {

// Not inline: these are initialised in the order of the file that includes them, before its own constants.
static const size_t page = size_t(sysconf(_SC_PAGESIZE));
/// What one last-level page table maps: 2 MiB with 4 KiB pages, 32 MiB with 16 KiB pages.
static const size_t span = page / 8 * page;

inline char* map(size_t size, int type = MAP_PRIVATE, int prot = PROT_READ | PROT_WRITE) {
    void* place = mmap(nullptr, size, prot, type | MAP_ANONYMOUS, -1, 0);
    REQUIRE(place != MAP_FAILED);
    return static_cast<char*>(place);
}

inline char* map_pages(size_t pages, int prot = PROT_READ | PROT_WRITE, int flags = MAP_PRIVATE | MAP_ANONYMOUS,
                       int fd = -1) {
    void* place = mmap(nullptr, pages * page, prot, flags, fd, 0);
    REQUIRE(place != MAP_FAILED);
    return static_cast<char*>(place);
}

/// Sets a resource limit, soft and hard.
inline void limit(int resource, size_t value) {
    const rlimit both{value, value};
    CHECK_OK(setrlimit(__rlimit_resource(resource), &both));
}

/// Reserves `size` bytes (with nothing accessible in them) that begin at the beginning of a last-level table.
inline char* reserve_aligned(size_t size) {
    auto* place = static_cast<char*>(mmap(nullptr, size + span, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    REQUIRE(place != MAP_FAILED);
    size_t before = (span - reinterpret_cast<uintptr_t>(place) % span) % span;
    if (before) munmap(place, before);
    if (span - before) munmap(place + before + size, span - before);
    return place + before;
}

inline char* map_at(char* place, size_t size, int prot = PROT_READ | PROT_WRITE, int type = MAP_PRIVATE) {
    void* got = mmap(place, size, prot, type | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    REQUIRE(got == place);
    return place;
}

/// Whether the kernel can read a byte there on behalf of this process, within the rights of the mapping.
inline bool can_read(const void* place) {
    char byte;
    iovec here{&byte, 1}, there{const_cast<void*>(place), 1};
    return process_vm_readv(getpid(), &here, 1, &there, 1, 0) == 1;
}

inline bool can_write(void* place) {
    char byte;
    iovec here{&byte, 1}, there{place, 1};
    if (process_vm_readv(getpid(), &here, 1, &there, 1, 0) != 1) return false;
    return process_vm_writev(getpid(), &here, 1, &there, 1, 0) == 1;
}

inline bool is_mapped(const void* place) {
    unsigned char resident;
    return mincore(const_cast<void*>(place), page, &resident) == 0;
}

inline bool long_run() { return getenv("LINNET_LONG") != nullptr; }
inline int seconds(int fast, int with_long) { return long_run() ? with_long : fast; }

inline double now() {
    timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return double(time.tv_sec) + double(time.tv_nsec) / 1e9;
}

/// The same numbers from the same seed on every machine.
class Random {
public:
    explicit Random(uint64_t seed) : state_(seed * 2862933555777941757u + 3037000493u) {}
    uint32_t next() {
        state_ = state_ * 6364136223846793005u + 1442695040888963407u;
        uint64_t mixed = (state_ ^ (state_ >> 29)) * 0xbf58476d1ce4e5b9u;
        return uint32_t(mixed >> 32);
    }
    uint32_t below(uint32_t bound) { return next() % bound; }

private:
    uint64_t state_;
};

} // namespace memory
