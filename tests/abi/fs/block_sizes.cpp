// st_blksize, by which C libraries choose the size of their buffers: a page where files are memory.
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "check.hpp"

namespace {

long block_size(int fd) {
    struct stat status;
    CHECK_EQ(fstat(fd, &status), 0);
    close(fd);
    return long(status.st_blksize);
}
long block_size(const char* path) { return block_size(open(path, O_PATH)); }

} // namespace

int main() {
    const long page = sysconf(_SC_PAGESIZE);
    int ends[2];
    CHECK_EQ(pipe(ends), 0);
    CHECK_EQ(block_size(ends[0]), page);
    CHECK_EQ(block_size(ends[1]), page);
    CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    CHECK_EQ(block_size(ends[0]), page);
    CHECK_EQ(block_size(ends[1]), page);
    CHECK_EQ(block_size(memfd_create("some", 0)), page);
    CHECK_EQ(block_size(eventfd(0, 0)), page);
    CHECK_EQ(block_size(epoll_create1(0)), page);
    CHECK_EQ(block_size("/tmp"), page);
    CHECK_EQ(block_size("/dev/null"), page);
    CHECK_EQ(block_size("/sys/kernel"), page);
    CHECK_EQ(block_size("/proc/self"), 1024);
    CHECK_EQ(block_size("/proc/self/status"), 1024);
    CHECK_EQ(block_size("/dev/pts"), 1024);
    return check::result();
}
