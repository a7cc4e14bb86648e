#include "command.hpp"

#include <cerrno>
#include <climits>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

using protocol::ExitKind;

namespace {

constexpr const char* default_path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

void close_fd(int& fd) {
    if (fd >= 0) close(fd);
    fd = -1;
}

// Both sides of a standard stream, or of the terminal.
struct Pipe {
    int read = -1;
    int write = -1;
    bool open() {
        int ends[2];
        if (pipe2(ends, O_CLOEXEC) != 0) return false;
        read = ends[0];
        write = ends[1];
        return true;
    }
    ~Pipe() {
        close_fd(read);
        close_fd(write);
    }
};

void set_nonblocking(int fd) { fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK); }

const char* variable(char** environment, const char* name) {
    size_t length = strlen(name);
    for (char** entry = environment; *entry; entry++)
        if (strncmp(*entry, name, length) == 0 && (*entry)[length] == '=') return *entry + length + 1;
    return nullptr;
}

// execve along PATH like execvpe(3), but a file of no known format is an error and not a shell script. Returns the
// errno that tells most: "not executable" beats "not found".
int execute(char** argv, char** environment) {
    if (strchr(argv[0], '/')) {
        execve(argv[0], argv, environment);
        return errno;
    }
    if (!argv[0][0]) return ENOENT;
    const char* path = variable(environment, "PATH");
    if (!path) path = default_path;
    int result = ENOENT;
    while (true) {
        const char* end = strchrnul(path, ':');
        char candidate[PATH_MAX];
        int length =
            snprintf(candidate, sizeof candidate, "%.*s%s%s", int(end - path), path, end == path ? "" : "/", argv[0]);
        if (length < int(sizeof candidate)) {
            execve(candidate, argv, environment);
            if (errno != ENOENT && errno != ENOTDIR) result = errno;
            if (result != ENOENT && result != EACCES) return result;
        }
        if (!*end) return result;
        path = end + 1;
    }
}

void reset_signals() {
    for (int number = 1; number < _NSIG; number++) signal(number, SIG_DFL);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, nullptr);
}

// The new process up to its execve. `streams` are its three standard descriptors; `report` gets a Failure if there is
// one, and is closed by a successful execve.
[[noreturn]] void become(const CommandLine& line, const int (&streams)[3], int report) {
    reset_signals();
    setsid();
    for (int i = 0; i < 3; i++) dup2(streams[i], i);
    if (line.on_terminal()) ioctl(0, TIOCSCTTY, 0);
    Failure failure = {ExitKind::exec_failed, 0};
    if (chdir(line.cwd()) != 0)
        failure = {ExitKind::cwd_failed, errno};
    else
        failure.error = execute(line.argv(), line.environment());
    (void)!write(report, &failure, sizeof failure);
    _exit(127);
}

// Opens a pseudo-terminal of the asked size; `master` and `slave` are its two sides.
bool open_terminal(const CommandLine& line, int& master, int& slave) {
    master = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (master < 0) return false;
    int number = 0, unlocked = 0;
    if (ioctl(master, TIOCGPTN, &number) != 0 || ioctl(master, TIOCSPTLCK, &unlocked) != 0) return false;
    char path[32];
    snprintf(path, sizeof path, "/dev/pts/%d", number);
    slave = open(path, O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (slave < 0) return false;
    winsize size = {};
    size.ws_row = line.rows();
    size.ws_col = line.columns();
    ioctl(master, TIOCSWINSZ, &size);
    return true;
}

} // namespace

CommandLine::~CommandLine() {
    free(cwd_);
    free_list(argv_);
    free_list(environment_);
}

bool CommandLine::parse(std::span<const uint8_t> payload) {
    Reader reader(payload);
    flags_ = reader.u32();
    timeout_ms_ = reader.u32();
    rows_ = reader.u16();
    columns_ = reader.u16();
    cwd_ = copy(reader.string());
    argv_ = copy_list(reader);
    environment_ = copy_list(reader);
    return reader.ok() && argv_[0];
}

char* CommandLine::copy(std::span<const uint8_t> string) {
    auto* text = static_cast<char*>(malloc(string.size() + 1));
    if (!text) abort();
    memcpy(text, string.data(), string.size());
    text[string.size()] = 0;
    return text;
}

char** CommandLine::copy_list(Reader& reader) {
    uint32_t count = reader.u32();
    // Every string takes at least four bytes of the payload, so a larger count is malformed.
    if (count > protocol::max_payload / 4) count = 0;
    auto** list = static_cast<char**>(calloc(count + 1, sizeof(char*)));
    if (!list) abort();
    for (uint32_t i = 0; i < count && reader.ok(); i++) list[i] = copy(reader.string());
    return list;
}

void CommandLine::free_list(char** list) {
    if (!list) return;
    for (char** entry = list; *entry; entry++) free(*entry);
    free(list);
}

bool Command::start(const CommandLine& line, Failure& failure) {
    failure = {ExitKind::failed, 0};
    Pipe in, out, err, report;
    int master = -1, slave = -1;
    bool opened = report.open() &&
                  (line.on_terminal() ? open_terminal(line, master, slave) : in.open() && out.open() && err.open());
    if (opened) {
        const int pipes[3] = {in.read, out.write, err.write};
        const int terminal[3] = {slave, slave, slave};
        pid = fork();
        if (pid == 0) become(line, line.on_terminal() ? terminal : pipes, report.write);
    }
    if (!opened || pid < 0) {
        failure.error = errno;
        close_fd(master);
        close_fd(slave);
        return false;
    }
    close_fd(slave);
    close_fd(report.write);
    ssize_t count;
    do count = read(report.read, &failure, sizeof failure);
    while (count < 0 && errno == EINTR);
    if (count == ssize_t(sizeof failure)) {
        close_fd(master);
        return false;
    }
    if (line.on_terminal()) {
        input = output = master;
    } else {
        input = in.write, in.write = -1;
        output = out.read, out.read = -1;
        error = err.read, err.read = -1;
        set_nonblocking(error);
    }
    set_nonblocking(input);
    set_nonblocking(output);
    return true;
}

void Command::close_input() {
    // A terminal's master is one descriptor for both directions; it goes with the output.
    if (input != output) close_fd(input);
    input = -1;
}

void Command::close_output() {
    if (input == output) input = -1;
    close_fd(output);
}

void Command::close_error() { close_fd(error); }
