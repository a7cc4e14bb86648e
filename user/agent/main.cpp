// The guest agent: PID 1 of a guest that `./linnet` boots, under Linnet and under Linux alike. It prepares the guest,
// then serves the host's requests over one virtio port, and powers the guest off when the host is done.
//
// The same binary may be started by hand on any Linux: with arguments, it says what it is and leaves.

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <fcntl.h>
#include <unistd.h>

#include "guest.hpp"
#include "session.hpp"

namespace {

void on_child(int) {}

// A handler, so that SIGCHLD interrupts ppoll(2), and the signal blocked outside of it, so that none is missed.
void prepare_signals() {
    struct sigaction action = {};
    action.sa_handler = on_child;
    sigaction(SIGCHLD, &action, nullptr);
    signal(SIGPIPE, SIG_IGN);
    sigset_t child;
    sigemptyset(&child);
    sigaddset(&child, SIGCHLD);
    sigprocmask(SIG_BLOCK, &child, nullptr);
}

// Descriptors 0 to 2 must be taken, or a command's pipes would land there.
void fill_standard_descriptors() {
    int fd;
    do fd = open("/dev/null", O_RDWR);
    while (fd >= 0 && fd <= STDERR_FILENO);
    if (fd >= 0) close(fd);
}

} // namespace

int main(int, char** argv) {
    if (getpid() != 1) {
        fputs("linnet-agent: runs as PID 1 of a guest\n", stderr);
        return 2;
    }
    guest::mount_file_systems();
    fill_standard_descriptors();
    if (sethostname("linnet", 6) != 0) guest::complain("host name", errno);
    guest::load_modules();
    // Without its root there is no guest; the host shows the log, where the reason is.
    if (!guest::enter_root_on_disk()) guest::power_off();
    guest::execute_own_init(argv);
    prepare_signals();
    int port = guest::open_port();
    if (port >= 0) Session(port).run();
    guest::power_off();
}
