// Reading memory that nobody has touched, from outside: process_vm_readv and /proc/self/mem, in mappings large enough
// for huge pages. Least Linux: 5.4.
// needs-linux: 5.4
#include "check.hpp"
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

int main() {
    const size_t page = size_t(sysconf(_SC_PAGESIZE)), span = page / 8 * page, size = 4 * span;
    static char buffer[1 << 16];
    const int memory = open("/proc/self/mem", O_RDONLY);
    REQUIRE(memory >= 0);
    for (int advice : {MADV_HUGEPAGE, MADV_NOHUGEPAGE}) {
        char* place =
            static_cast<char*>(mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
        REQUIRE(place != MAP_FAILED);
        CHECK_OK(madvise(place, size, advice));
        for (int round = 0; round < 3; ++round) {
            for (size_t at = 0; at < size; at += span / 8 + page) {
                const size_t count = size - at < page ? size - at : page;
                memset(buffer, 7, page);
                iovec to = {buffer, count}, from = {place + at, count};
                CHECK_EQ(process_vm_readv(getpid(), &to, 1, &from, 1, 0), ssize_t(count));
                CHECK(buffer[0] == 0 && buffer[count - 1] == 0);
                buffer[0] = 7;
                CHECK_EQ(pread(memory, buffer, count, off_t(size_t(place) + at)), ssize_t(count));
                CHECK_EQ(buffer[0], 0);
            }
        }
        // The zeros are everybody's: a write to one's own changes them nowhere else.
        place[size / 2] = 1;
        iovec to = {buffer, 1}, from = {place + size / 2 + page, 1};
        CHECK_EQ(process_vm_readv(getpid(), &to, 1, &from, 1, 0), 1);
        CHECK_EQ(buffer[0], 0);
        CHECK_OK(munmap(place, size));
    }
    close(memory);
    return check::result();
}
