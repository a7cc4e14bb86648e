// What a program expects of a folder of the host, beyond what a shell does: run in a guest with --share, in that
// folder. It mounts the folder anew with other options, too.
#include <check.hpp>

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

namespace {

constexpr const char* place = "/mnt/again";
constexpr size_t thread_count = 4, blocks = 50, block_size = 3000;

int make_file(const char* name, const char* text) {
    int fd = open(name, O_RDWR | O_CREAT | O_TRUNC, 0644);
    CHECK(fd >= 0);
    CHECK_EQ(write(fd, text, strlen(text)), ssize_t(strlen(text)));
    return fd;
}

bool holds(const char* name, const char* text) {
    char buffer[64] = {};
    int fd = open(name, O_RDONLY);
    ssize_t count = read(fd, buffer, sizeof buffer - 1);
    close(fd);
    return count == ssize_t(strlen(text)) && strcmp(buffer, text) == 0;
}

char byte_at(size_t thread, size_t block) { return char('a' + (thread * 7 + block) % 26); }

/// A signal may end a write or a read in its midst.
void write_all(int fd, const char* bytes, size_t size, off_t offset) {
    for (size_t done = 0; done < size;) {
        const ssize_t count = pwrite(fd, bytes + done, size - done, offset + off_t(done));
        CHECK(count > 0);
        if (count <= 0) return;
        done += size_t(count);
    }
}

void read_all(int fd, char* bytes, size_t size, off_t offset) {
    for (size_t done = 0; done < size;) {
        const ssize_t count = pread(fd, bytes + done, size - done, offset + off_t(done));
        CHECK(count > 0);
        if (count <= 0) return;
        done += size_t(count);
    }
}

/// Writes a file of its own and reads it back, block by block.
void* use_own_file(void* argument) {
    const auto thread = size_t(argument);
    char name[32], block[block_size];
    snprintf(name, sizeof name, "thread-%zu", thread);
    int fd = open(name, O_RDWR | O_CREAT | O_TRUNC, 0600);
    CHECK(fd >= 0);
    for (size_t i = 0; i < blocks; ++i) {
        memset(block, byte_at(thread, i), sizeof block);
        write_all(fd, block, sizeof block, off_t(i * sizeof block));
    }
    for (size_t i = blocks; i-- > 0;) {
        read_all(fd, block, sizeof block, off_t(i * sizeof block));
        char wanted[block_size];
        memset(wanted, byte_at(thread, i), sizeof wanted);
        CHECK_EQ(memcmp(block, wanted, sizeof block), 0);
    }
    close(fd);
    CHECK_EQ(unlink(name), 0);
    return nullptr;
}

void several_threads() {
    pthread_t threads[thread_count];
    for (size_t i = 0; i < thread_count; ++i) CHECK_EQ(pthread_create(&threads[i], nullptr, use_own_file, (void*)i), 0);
    for (pthread_t thread : threads) CHECK_EQ(pthread_join(thread, nullptr), 0);
}

volatile sig_atomic_t ticks = 0;
void on_tick(int) { ticks = ticks + 1; }

/// Requests that signals end are asked anew, and nothing is lost or done twice.
void signals_all_the_time() {
    struct sigaction action = {};
    action.sa_handler = on_tick;
    action.sa_flags = SA_RESTART;
    sigaction(SIGALRM, &action, nullptr);
    const itimerval often = {{0, 1000}, {0, 1000}};
    setitimer(ITIMER_REAL, &often, nullptr);
    for (int round = 0; round < 3; ++round) use_own_file(nullptr);
    for (int i = 0; i < 30; ++i) {
        CHECK_EQ(mkdir("made", 0755), 0);
        CHECK_EQ(rename("made", "moved"), 0);
        CHECK_EQ(rmdir("moved"), 0);
    }
    const itimerval never = {};
    setitimer(ITIMER_REAL, &never, nullptr);
    CHECK(ticks > 0);
}

void attributes() {
    int fd = make_file("file", "text");
    const timespec times[2] = {{1000000000, 0}, {1100000000, 0}}; // Linux keeps no more than seconds here
    CHECK_EQ(futimens(fd, times), 0);
    CHECK_EQ(fchmod(fd, 0640), 0);
    CHECK_EQ(fchown(fd, 12, 34), 0);
    struct stat status;
    CHECK_EQ(fstat(fd, &status), 0);
    CHECK_EQ(status.st_mtim.tv_sec, 1100000000);
    CHECK_EQ(status.st_atim.tv_sec, 1000000000);
    CHECK_EQ(status.st_mode, S_IFREG | 0640u);
    CHECK_EQ(status.st_uid, 12u);
    CHECK_EQ(status.st_gid, 34u);
    struct statfs whole;
    CHECK_EQ(statfs(".", &whole), 0);
    CHECK(whole.f_blocks > 0);
    CHECK_EQ(fsync(fd), 0);
    close(fd);
    CHECK_EQ(unlink("file"), 0);
    CHECK_ERRNO(stat("file", &status), ENOENT);
}

void extended_attributes() {
    int fd = make_file("file", "");
    close(fd);
    if (setxattr("file", "user.colour", "green", 5, 0) != 0) {
        CHECK(errno == EOPNOTSUPP || errno == ENOTSUP); // the host's file system has none
        unlink("file");
        return;
    }
    char value[64] = {};
    CHECK_EQ(getxattr("file", "user.colour", nullptr, 0), 5);
    CHECK_EQ(getxattr("file", "user.colour", value, sizeof value), 5);
    CHECK_EQ(strcmp(value, "green"), 0);
    CHECK_ERRNO(getxattr("file", "user.colour", value, 2), ERANGE);
    CHECK_ERRNO(setxattr("file", "user.colour", "red", 3, XATTR_CREATE), EEXIST);
    const ssize_t length = listxattr("file", value, sizeof value);
    CHECK(length > 0 && memmem(value, size_t(length), "user.colour", 12));
    CHECK_EQ(removexattr("file", "user.colour"), 0);
    CHECK_ERRNO(getxattr("file", "user.colour", value, sizeof value), ENODATA);
    CHECK_EQ(unlink("file"), 0);
}

void appends() {
    int one = open("log", O_WRONLY | O_CREAT | O_APPEND, 0600), other = open("log", O_WRONLY | O_APPEND);
    CHECK_EQ(write(one, "a", 1), 1);
    CHECK_EQ(write(other, "b", 1), 1);
    CHECK_EQ(write(one, "c", 1), 1);
    CHECK_EQ(lseek(other, 0, SEEK_END), 3);
    close(one);
    close(other);
    CHECK(holds("log", "abc"));
    CHECK_EQ(unlink("log"), 0);
    // The mode of a new file does not bind who makes it.
    int fd = open("secret", O_RDWR | O_CREAT | O_EXCL, 0);
    CHECK_EQ(write(fd, "x", 1), 1);
    CHECK_ERRNO(open("secret", O_RDWR | O_CREAT | O_EXCL, 0600), EEXIST);
    close(fd);
    CHECK_EQ(unlink("secret"), 0);
}

/// Locks are the guest's own.
void locks() {
    int fd = make_file("one", "");
    int other = open("one", O_RDWR);
    CHECK_EQ(flock(fd, LOCK_EX), 0);
    CHECK_ERRNO(flock(other, LOCK_EX | LOCK_NB), EWOULDBLOCK);
    CHECK_EQ(flock(fd, LOCK_UN), 0);
    struct flock record = {};
    record.l_type = F_WRLCK;
    CHECK_EQ(fcntl(fd, F_SETLK, &record), 0);
    pid_t child = fork();
    if (child == 0) _exit(fcntl(open("one", O_RDWR), F_SETLK, &record) == -1 && errno == EAGAIN ? 0 : 1);
    int status = -1;
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK_EQ(status, 0);
    close(fd);
    close(other);
    CHECK_EQ(unlink("one"), 0);
}

void private_mapping() {
    int fd = make_file("mapped", "what the file holds");
    char* text = (char*)mmap(nullptr, 100, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
    CHECK(text != MAP_FAILED);
    CHECK_EQ(memcmp(text, "what the file holds\0\0", 21), 0);
    text[0] = 'W';
    CHECK(holds("mapped", "what the file holds"));
    munmap(text, 100);
    close(fd);
    CHECK_EQ(unlink("mapped"), 0);
}

/// Reads, writes and the mapping see each other's changes.
void shared_mapping() {
    int fd = make_file("mapped", "0123456789");
    char* text = (char*)mmap(nullptr, 10, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    CHECK(text != MAP_FAILED);
    if (text == MAP_FAILED) return;
    text[1] = 'x';
    CHECK(holds("mapped", "0x23456789"));
    CHECK_EQ(pwrite(fd, "y", 1, 2), 1);
    CHECK_EQ(text[2], 'y');
    text[3] = 'z';
    CHECK_EQ(msync(text, 10, MS_SYNC), 0);
    CHECK(holds("mapped", "0xyz456789"));
    // The mapping is the last to go, and so it is in the process that has another.
    close(fd);
    text[4] = '!';
    pid_t child = fork();
    if (child == 0) {
        munmap(text, 10);
        int again = open("mapped", O_RDWR);
        text = (char*)mmap(nullptr, 10, PROT_READ | PROT_WRITE, MAP_SHARED, again, 0);
        text[5] = '?';
        _exit(0);
    }
    int status = -1;
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK_EQ(status, 0);
    CHECK_EQ(text[5], '?');
    munmap(text, 10);
    CHECK(holds("mapped", "0xyz!?6789"));
    CHECK_EQ(unlink("mapped"), 0);
}

/// Mounted without any cache: a shared mapping that could be written to can't be had.
void no_shared_mapping() {
    int fd = make_file("mapped", "0123456789");
    CHECK_ERRNO(mmap(nullptr, 10, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0), EINVAL);
    int reading = open("mapped", O_RDONLY);
    const char* text = (const char*)mmap(nullptr, 10, PROT_READ, MAP_SHARED, reading, 0);
    CHECK(text != MAP_FAILED);
    CHECK_EQ(text[9], '9');
    munmap((void*)text, 10);
    close(reading);
    close(fd);
    CHECK_EQ(unlink("mapped"), 0);
}

void open_file_without_name() {
    int fd = make_file("gone", "still here");
    CHECK_EQ(unlink("gone"), 0);
    char text[16] = {};
    CHECK_EQ(pread(fd, text, sizeof text, 0), 10);
    CHECK_EQ(strcmp(text, "still here"), 0);
    CHECK_EQ(pwrite(fd, "S", 1, 0), 1);
    close(fd);
}

void moved_while_open() {
    CHECK_EQ(mkdir("from", 0755), 0);
    int fd = make_file("from/file", "1");
    CHECK_EQ(rename("from", "to"), 0);
    struct stat status;
    CHECK_EQ(fstat(fd, &status), 0);
    CHECK_EQ(status.st_size, 1);
    CHECK_EQ(fchmod(fd, 0600), 0);
    CHECK_EQ(pwrite(fd, "2", 1, 1), 1);
    close(fd);
    CHECK(holds("to/file", "12"));
    CHECK_EQ(unlink("to/file"), 0);
    CHECK_EQ(rmdir("to"), 0);
}

/// Further down than a path is long.
void deep_folders() {
    char name[200];
    memset(name, 'd', sizeof name - 1);
    name[sizeof name - 1] = 0;
    constexpr int depth = 25;
    int level[depth + 1];
    level[0] = open(".", O_RDONLY | O_DIRECTORY);
    for (int i = 0; i < depth; ++i) {
        CHECK_EQ(mkdirat(level[i], name, 0755), 0);
        level[i + 1] = openat(level[i], name, O_RDONLY | O_DIRECTORY);
        CHECK(level[i + 1] >= 0);
    }
    for (int i = depth; i-- > 0;) {
        close(level[i + 1]);
        CHECK_EQ(unlinkat(level[i], name, AT_REMOVEDIR), 0);
    }
    close(level[0]);
}

void use_folder() {
    several_threads();
    signals_all_the_time();
    attributes();
    extended_attributes();
    appends();
    locks();
    private_mapping();
    open_file_without_name();
    moved_while_open();
}

} // namespace

int main(int, char** arguments) {
    const char* tag = arguments[1];
    use_folder();
    shared_mapping();
    deep_folders();
    // A tag is for one mount at a time.
    CHECK_EQ(mkdir(place, 0755), 0);
    CHECK_ERRNO(mount(tag, place, "9p", 0, "trans=virtio,version=9p2000.L"), EBUSY);
    CHECK_EQ(chdir("/"), 0);
    CHECK_EQ(umount("/mnt/share"), 0);
    CHECK_ERRNO(mount("none", place, "9p", 0, "trans=virtio,version=9p2000.L"), ENOENT);
    CHECK_ERRNO(mount(tag, place, "9p", 0, "trans=virtio,version=9p2000.L,msize=100"), EINVAL);
    CHECK_EQ(mount(tag, place, "9p", 0, "trans=virtio,version=9p2000.L,msize=4096,cache=none"), 0);
    CHECK_EQ(chdir(place), 0);
    use_folder();
    no_shared_mapping();
    CHECK_ERRNO(umount(place), EBUSY);
    CHECK_EQ(chdir("/"), 0);
    CHECK_EQ(umount(place), 0);
    CHECK_EQ(rmdir(place), 0);
    return check::result();
}
