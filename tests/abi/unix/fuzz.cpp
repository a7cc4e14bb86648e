// timeout: 120
// Sockets' calls with arguments that are nearly right: whatever they answer, the kernel lives, its sockets go with
// their processes and its memory comes back.
#include <csignal>
#include <ctime>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>

#include "child.hpp"
#include "sockets.hpp"

using namespace check;

struct Random {
    unsigned long state;
    unsigned long next() {
        state ^= state << 13, state ^= state >> 7, state ^= state << 17;
        return state;
    }
    unsigned long below(unsigned long bound) { return next() % bound; }
};

static char* arena; // two pages and a hole behind them
static constexpr size_t arena_size = 2 * 16384;

static Random* chance;

static unsigned long number() {
    static const unsigned long odd[] = {0, 1, 2, 3, 4, 8, 16, 28, 110, 128, 253, 254, 4096, 1ul << 31, ~0ul, ~0ul - 7};
    return chance->below(3) ? chance->below(64) : odd[chance->below(sizeof odd / sizeof odd[0])];
}

static char* place() {
    switch (chance->below(8)) {
    case 0:
        return arena + arena_size - chance->below(64);
    case 1:
        return reinterpret_cast<char*>(number());
    default:
        return arena + 8 * chance->below(256);
    }
}

static int fd() { return int(chance->below(20)); }

/// An address, most often a good one of few.
static sockaddr* address(socklen_t& length) {
    static UnixAddress made;
    char name[16];
    snprintf(name, sizeof name, "%sfuzz%lu", chance->below(2) ? "@" : "", chance->below(4));
    made = UnixAddress(name);
    length = made.length;
    if (chance->below(8) == 0) length = socklen_t(number());
    if (chance->below(8) == 0) made.address.sun_family = sa_family_t(number());
    return chance->below(16) ? made.get() : reinterpret_cast<sockaddr*>(place());
}

static msghdr* message(bool sends) {
    static msghdr header;
    static iovec vectors[4];
    alignas(8) static char control[512];
    header = {};
    for (iovec& each : vectors) each = {place(), chance->below(4) ? chance->below(8192) : number()};
    header.msg_iov = vectors;
    header.msg_iovlen = chance->below(5);
    if (chance->below(3) == 0) {
        socklen_t length;
        header.msg_name = address(length);
        header.msg_namelen = length;
    }
    header.msg_control = control;
    header.msg_controllen = chance->below(sizeof control);
    if (sends) {
        auto* first = reinterpret_cast<cmsghdr*>(control);
        first->cmsg_level = chance->below(8) ? SOL_SOCKET : int(number());
        first->cmsg_type = chance->below(3) ? int(chance->below(4)) : SCM_RIGHTS;
        const size_t files = chance->below(12);
        first->cmsg_len = chance->below(8) ? CMSG_LEN(files * sizeof(int)) : number();
        for (size_t i = 0; i < files; ++i) reinterpret_cast<int*>(CMSG_DATA(first))[i] = fd();
        header.msg_controllen = chance->below(8) ? CMSG_SPACE(files * sizeof(int)) : number();
    }
    if (chance->below(16) == 0) return reinterpret_cast<msghdr*>(place());
    return &header;
}

static void one_call() {
    static const int types[] = {SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET};
    const int flags = chance->below(2) ? int(chance->next() & 0x7fff & ~MSG_WAITALL) : MSG_DONTWAIT | MSG_NOSIGNAL;
    const int type = types[chance->below(3)] | (chance->below(3) ? SOCK_NONBLOCK : 0);
    socklen_t length = socklen_t(number());
    switch (chance->below(24)) {
    case 0:
        socket(chance->below(16) ? AF_UNIX : int(number()), type, chance->below(8) ? 0 : int(number()));
        break;
    case 1:
    case 2: {
        int fds[2];
        socketpair(AF_UNIX, type, 0, chance->below(16) ? fds : reinterpret_cast<int*>(place()));
        break;
    }
    case 3: {
        sockaddr* where = address(length);
        bind(fd(), where, length);
        break;
    }
    case 4: {
        sockaddr* where = address(length);
        connect(fd(), where, length);
        break;
    }
    case 5:
        listen(fd(), int(number()));
        break;
    case 6:
        accept4(fd(), reinterpret_cast<sockaddr*>(place()), reinterpret_cast<socklen_t*>(place()), int(type & ~15));
        break;
    case 7:
        getsockname(fd(), reinterpret_cast<sockaddr*>(place()), reinterpret_cast<socklen_t*>(place()));
        break;
    case 8:
        getpeername(fd(), reinterpret_cast<sockaddr*>(place()), reinterpret_cast<socklen_t*>(place()));
        break;
    case 9:
        shutdown(fd(), int(chance->below(4)));
        break;
    case 10:
        setsockopt(fd(), chance->below(8) ? SOL_SOCKET : int(number()), int(chance->below(90)), place(), length);
        break;
    case 11:
        getsockopt(fd(), chance->below(8) ? SOL_SOCKET : int(number()), int(chance->below(90)), place(),
                   reinterpret_cast<socklen_t*>(place()));
        break;
    case 12:
    case 13: {
        sockaddr* where = address(length);
        sendto(fd(), place(), chance->below(40000), flags, chance->below(2) ? where : nullptr, length);
        break;
    }
    case 14:
        recvfrom(fd(), place(), chance->below(40000), flags, reinterpret_cast<sockaddr*>(place()),
                 reinterpret_cast<socklen_t*>(place()));
        break;
    case 15:
    case 16:
    case 17:
        sendmsg(fd(), message(true), flags);
        break;
    case 18:
    case 19:
        recvmsg(fd(), message(false), flags);
        break;
    case 20:
        sendmmsg(fd(), reinterpret_cast<mmsghdr*>(place()), unsigned(number()), flags);
        break;
    case 21:
        recvmmsg(fd(), reinterpret_cast<mmsghdr*>(place()), unsigned(number()), flags, nullptr);
        break;
    case 22:
        ioctl(fd(), chance->below(2) ? FIONREAD : TIOCOUTQ, place());
        break;
    default:
        close(3 + int(chance->below(17)));
    }
}

static void child(unsigned long seed) {
    Random random{seed * 0x9e3779b97f4a7c15ul | 1};
    chance = &random;
    const rlimit few = {20, 20}, memory = {256ul << 20, 256ul << 20};
    setrlimit(RLIMIT_NOFILE, &few);
    setrlimit(RLIMIT_AS, &memory);
    signal(SIGPIPE, SIG_IGN);
    // A call that blocks is interrupted soon.
    struct sigaction interrupt = {};
    interrupt.sa_handler = [](int) {};
    sigaction(SIGALRM, &interrupt, nullptr);
    const itimerval often = {{0, 5000}, {0, 5000}};
    setitimer(ITIMER_REAL, &often, nullptr);
    for (size_t i = 0; i < arena_size; ++i) arena[i] = char(random.below(4) ? random.below(20) : random.next());
    for (int i = 0; i < 500; ++i) one_call();
}

static long number_in(const char* path, const char* name) {
    FILE* file = fopen(path, "r");
    char line[256];
    long found = -1, lines = -1;
    while (fgets(line, sizeof line, file)) {
        ++lines;
        if (name && strncmp(line, name, strlen(name)) == 0) found = atol(line + strlen(name));
    }
    fclose(file);
    return name ? found : lines;
}

int main() {
    char folder[] = "/tmp/socketsXXXXXX";
    CHECK(mkdtemp(folder) && chdir(folder) == 0);
    arena = static_cast<char*>(
        mmap(nullptr, arena_size + 16384, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    munmap(arena + arena_size, 16384);
    const long sockets = number_in("/proc/net/unix", nullptr), before = number_in("/proc/meminfo", "MemAvailable:");
    for (unsigned long seed = 1; seed <= 60; ++seed) {
        const int status = in_child([&] { child(seed); });
        CHECK(WIFEXITED(status));
    }
    int last = -1;
    for (int i = 0; i < 300; ++i) {
        SocketPair trigger; // its end makes Linux collect what only messages refer to
        last = int(number_in("/proc/net/unix", nullptr)) - 2;
        if (last <= sockets) break;
        usleep(10000);
    }
    CHECK_LE(last, sockets);
    CHECK_LT(before - number_in("/proc/meminfo", "MemAvailable:"), 16 * 1024);
    return result();
}
