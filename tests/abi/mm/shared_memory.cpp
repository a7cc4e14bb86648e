// System V shared memory: shmget, shmat, shmdt, shmctl. Least Linux: 6.1 (SHM_STAT_ANY is of 4.17).
// needs-linux: 6.1
#include "asleep.hpp"
#include "child.hpp"
#include <csignal>
#include <ctime>
#include <fcntl.h>
#include <string>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef SHM_STAT_ANY
#define SHM_STAT_ANY 15
#endif
#ifndef SHM_EXEC
#define SHM_EXEC 0100000
#endif

using check::in_child;

namespace {

const size_t page = size_t(sysconf(_SC_PAGESIZE));
const size_t unit = 65536; // a multiple of SHMLBA everywhere
const key_t some_key = 0x4c696e6e;
void* const bad = reinterpret_cast<void*>(-1);

int segment(size_t size = 65536, int flags = IPC_CREAT | 0600, key_t key = IPC_PRIVATE) {
    int id = shmget(key, size, flags);
    CHECK(id >= 0);
    return id;
}
shmid_ds status_of(int id) {
    shmid_ds data{};
    CHECK_EQ(shmctl(id, IPC_STAT, &data), 0);
    return data;
}
size_t attached(int id) { return status_of(id).shm_nattch; }
char* attach(int id, int flags = 0, void* where = nullptr) { return static_cast<char*>(shmat(id, where, flags)); }
void remove(int id) { CHECK_EQ(shmctl(id, IPC_RMID, nullptr), 0); }

std::string contents(const char* path) {
    std::string text;
    char buffer[4096];
    int fd = open(path, O_RDONLY);
    for (ssize_t size; (size = read(fd, buffer, sizeof buffer)) > 0;) text.append(buffer, size_t(size));
    close(fd);
    return text;
}

void test_get() {
    CHECK_ERRNO(shmget(some_key, page, 0600), ENOENT);
    CHECK_ERRNO(shmget(IPC_PRIVATE, 0, 0600), EINVAL);
    CHECK_ERRNO(shmget(some_key, 0, IPC_CREAT | 0600), EINVAL);
    CHECK_ERRNO(shmget(IPC_PRIVATE, ~size_t(0), 0600), EINVAL); // more than shmmax
    CHECK_ERRNO(shmget(IPC_PRIVATE, size_t(1) << 56, IPC_CREAT | 0600), ENOMEM);
    int id = segment(100, IPC_CREAT | IPC_EXCL | 0640, some_key);
    CHECK_EQ(shmget(some_key, 100, 0), id);
    CHECK_EQ(shmget(some_key, 0, 0), id);
    CHECK_EQ(shmget(some_key, 50, IPC_CREAT | 0777), id);
    CHECK_ERRNO(shmget(some_key, 101, 0), EINVAL);
    CHECK_ERRNO(shmget(some_key, 100, IPC_CREAT | IPC_EXCL), EEXIST);
    CHECK_ERRNO(shmget(some_key, 101, IPC_CREAT | IPC_EXCL), EEXIST);
    shmid_ds data = status_of(id);
    CHECK_EQ(data.shm_perm.__key, some_key);
    CHECK_EQ(data.shm_perm.uid, 0u);
    CHECK_EQ(data.shm_perm.cgid, 0u);
    CHECK_EQ(data.shm_perm.mode, 0640u);
    CHECK_EQ(data.shm_segsz, 100u);
    CHECK_EQ(data.shm_nattch, 0u);
    CHECK_EQ(data.shm_cpid, getpid());
    CHECK_EQ(data.shm_lpid, 0);
    CHECK_EQ(data.shm_atime, 0);
    CHECK_EQ(data.shm_dtime, 0);
    CHECK(llabs(data.shm_ctime - time(nullptr)) <= 2);
    remove(id);
    CHECK_ERRNO(shmget(some_key, 0, 0), ENOENT);
    CHECK_ERRNO(shmctl(id, IPC_STAT, &data), EINVAL);
    CHECK_ERRNO(shmctl(id, IPC_RMID, nullptr), EINVAL);
    CHECK(attach(id) == bad && errno == EINVAL);
}

void test_attach() {
    int id = segment(unit + 1);
    char* place = attach(id);
    REQUIRE(place != bad);
    CHECK_EQ(reinterpret_cast<uintptr_t>(place) % page, 0u);
    CHECK_EQ(place[unit], 0);
    place[0] = 1, place[unit] = 2;
    char* again = attach(id, SHM_RDONLY);
    CHECK_EQ(again[unit], 2);
    CHECK_EQ(attached(id), 2u);
    CHECK_ERRNO(mprotect(again, page, PROT_READ | PROT_WRITE), EACCES);
    shmid_ds data = status_of(id);
    CHECK_EQ(data.shm_lpid, getpid());
    CHECK(llabs(data.shm_atime - time(nullptr)) <= 2);
    CHECK_EQ(data.shm_dtime, 0);
    CHECK_EQ(shmdt(again), 0);
    CHECK_ERRNO(shmdt(again), EINVAL);
    CHECK_EQ(attached(id), 1u);
    CHECK(llabs(status_of(id).shm_dtime - time(nullptr)) <= 2);
    CHECK_ERRNO(shmdt(place + page), EINVAL);
    CHECK_ERRNO(shmdt(place + 1), EINVAL);
    CHECK_ERRNO(shmdt(nullptr), EINVAL);
    CHECK_ERRNO(shmdt(bad), EINVAL);
    // A detached hole: the rest goes with one call.
    CHECK_EQ(munmap(place, page), 0);
    CHECK_EQ(shmdt(place), 0);
    CHECK_EQ(attached(id), 0u);
    place = attach(id);
    CHECK_EQ(place[0], 1); // it lived on
    CHECK_EQ(shmdt(place), 0);
    remove(id);
}

void test_addresses() {
    int id = segment(unit);
    char* room = static_cast<char*>(mmap(nullptr, 4 * unit, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    REQUIRE(room != MAP_FAILED);
    char* aligned = reinterpret_cast<char*>((reinterpret_cast<uintptr_t>(room) + unit - 1) & ~(unit - 1));
    CHECK(attach(id, 0, aligned) == bad && errno == EINVAL); // something is there
    CHECK(attach(id, 0, aligned + 1) == bad && errno == EINVAL);
    CHECK(attach(id, SHM_REMAP) == bad && errno == EINVAL);
    CHECK(attach(id, SHM_REMAP | SHM_RND, reinterpret_cast<void*>(1)) == bad && errno == EINVAL);
    CHECK(attach(id, SHM_REMAP, aligned) == aligned);
    aligned[5] = 5;
    CHECK_EQ(attached(id), 1u);
    CHECK(attach(id, SHM_REMAP | SHM_RND, aligned + 1) == aligned); // over itself
    CHECK_EQ(attached(id), 1u);
    CHECK_EQ(aligned[5], 5);
    CHECK_EQ(munmap(aligned + unit, unit), 0);
    CHECK(attach(id, SHM_RND | SHM_RDONLY, aligned + unit + 7) == aligned + unit);
    CHECK_EQ(aligned[unit + 5], 5);
    CHECK_EQ(shmdt(aligned), 0);
    CHECK_EQ(attached(id), 1u);
    CHECK_EQ(shmdt(aligned + unit), 0);
    CHECK(attach(id, 0, reinterpret_cast<void*>(~(unit - 1))) == bad);
    CHECK(attach(-1) == bad && errno == EINVAL);
    CHECK(attach(0x7fffffff) == bad && errno == EINVAL);
    munmap(room, 4 * unit);
    remove(id);
}

void test_inheritance() {
    int id = segment();
    char* place = attach(id);
    CHECK_EQ(in_child([&] {
                 CHECK_EQ(attached(id), 2u);
                 CHECK_EQ(status_of(id).shm_lpid, getppid()); // fork attaches on behalf of the parent
                 place[0] = 7;
             }),
             0);
    CHECK_EQ(place[0], 7);
    CHECK_EQ(attached(id), 1u);
    CHECK(status_of(id).shm_lpid != getpid()); // the child's exit detached
    int ends[2];
    CHECK_EQ(pipe(ends), 0);
    pid_t child = fork();
    if (child == 0) {
        dup2(ends[0], 0);
        close(ends[1]);
        char* const arguments[] = {const_cast<char*>("self"), const_cast<char*>("wait"), nullptr};
        execv("/proc/self/exe", arguments);
        _exit(1);
    }
    close(ends[0]);
    CHECK(check::eventually([&] { return attached(id) == 1; })); // exec detaches, and nothing else tells of it
    close(ends[1]);
    int status = -1;
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK_EQ(status, 0);
    CHECK_EQ(shmdt(place), 0);
    remove(id);
}

void test_removal() {
    int id = segment(unit, IPC_CREAT | 0600, some_key);
    char* place = attach(id);
    strcpy(place, "kept");
    remove(id);
    // Still there for who has it, without its key.
    shmid_ds data = status_of(id);
    CHECK_EQ(data.shm_perm.__key, IPC_PRIVATE);
    CHECK_EQ(data.shm_perm.mode, 0600u | SHM_DEST);
    CHECK_ERRNO(shmget(some_key, 0, 0), ENOENT);
    remove(id);
    char* again = attach(id);
    CHECK_STREQ(again, "kept");
    CHECK_EQ(shmdt(place), 0);
    CHECK_EQ(attached(id), 1u);
    int other = segment(unit, IPC_CREAT | IPC_EXCL | 0600, some_key);
    CHECK(other != id);
    CHECK_EQ(shmdt(again), 0);
    CHECK_ERRNO(shmctl(id, IPC_STAT, &data), EINVAL);
    remove(other);
    // A child's death is the last detachment too.
    id = segment();
    pid_t child = fork();
    if (child == 0) {
        attach(id);
        remove(id);
        kill(getpid(), SIGKILL);
    }
    waitpid(child, nullptr, 0);
    CHECK_ERRNO(shmctl(id, IPC_STAT, &data), EINVAL);
}

void test_ids() {
    // An index used again has another id.
    int first = segment();
    remove(first);
    bool reused = false;
    for (int i = 0; i < 600; i++) {
        int id = shmget(IPC_PRIVATE, 1, 0600);
        REQUIRE(id >= 0);
        CHECK(id != first);
        if ((id & 0x7fff) == (first & 0x7fff)) {
            shmid_ds data;
            CHECK_ERRNO(shmctl(first, IPC_STAT, &data), EINVAL);
            CHECK(attach(first) == bad && errno == EINVAL);
            CHECK_EQ(status_of(id).shm_perm.__seq, id >> 15);
            reused = true;
        }
        remove(id);
    }
    CHECK(reused);
}

void test_rights() {
    int id = segment(unit, IPC_CREAT | 0640, some_key);
    int open_id = segment(unit, IPC_CREAT | 0604);
    CHECK_EQ(in_child([&] {
                 shmid_ds data = status_of(id);
                 CHECK_EQ(setgid(65534), 0);
                 CHECK_EQ(setuid(65534), 0);
                 CHECK_ERRNO(shmget(some_key, 0, 0400), EACCES);
                 CHECK_EQ(shmget(some_key, 0, 0), id); // asks for nothing
                 CHECK(attach(id) == bad && errno == EACCES);
                 CHECK(attach(id, SHM_RDONLY) == bad && errno == EACCES);
                 CHECK_ERRNO(shmctl(id, IPC_STAT, &data), EACCES);
                 CHECK_ERRNO(shmctl(id & 0x7fff, SHM_STAT, &data), EACCES);
                 CHECK_EQ(shmctl(id & 0x7fff, static_cast<int>(SHM_STAT_ANY), &data), id);
                 CHECK_ERRNO(shmctl(id, IPC_RMID, nullptr), EPERM);
                 CHECK_ERRNO(shmctl(id, IPC_SET, &data), EPERM);
                 CHECK_ERRNO(shmctl(id, SHM_LOCK, nullptr), EPERM);
                 CHECK_ERRNO(shmctl(id, SHM_UNLOCK, nullptr), EPERM);
                 CHECK(attach(open_id) == bad && errno == EACCES);
                 CHECK(attach(open_id, SHM_RDONLY | SHM_EXEC) == bad && errno == EACCES);
                 char* view = attach(open_id, SHM_RDONLY);
                 CHECK(view != bad);
                 // One's own can be locked within the limit, and given away.
                 int own = segment(2 * unit);
                 rlimit limit{unit, unit};
                 CHECK_EQ(setrlimit(RLIMIT_MEMLOCK, &limit), 0);
                 CHECK_ERRNO(shmctl(own, SHM_LOCK, nullptr), ENOMEM);
                 limit.rlim_cur = limit.rlim_max = 0;
                 CHECK_EQ(setrlimit(RLIMIT_MEMLOCK, &limit), 0);
                 CHECK_ERRNO(shmctl(own, SHM_LOCK, nullptr), EPERM);
                 data = status_of(own);
                 data.shm_perm.uid = 12;
                 data.shm_perm.mode = 0444;
                 CHECK_EQ(shmctl(own, IPC_SET, &data), 0);
                 CHECK_EQ(shmctl(own, IPC_RMID, nullptr), 0); // as creator
             }),
             0);
    shmid_ds data = status_of(id);
    data.shm_perm.uid = 65534;
    data.shm_perm.gid = 7;
    data.shm_perm.mode = 01777;
    data.shm_segsz = 1;
    CHECK_EQ(shmctl(id, IPC_SET, &data), 0);
    data = status_of(id);
    CHECK_EQ(data.shm_perm.uid, 65534u);
    CHECK_EQ(data.shm_perm.gid, 7u);
    CHECK_EQ(data.shm_perm.cuid, 0u);
    CHECK_EQ(data.shm_perm.mode, 0777u);
    CHECK_EQ(data.shm_segsz, unit);
    data.shm_perm.uid = ~0u;
    CHECK_ERRNO(shmctl(id, IPC_SET, &data), EINVAL);
    CHECK_EQ(in_child([&] {
                 CHECK_EQ(setuid(65534), 0);
                 CHECK_EQ(shmctl(id, IPC_RMID, nullptr), 0);
             }),
             0);
    remove(open_id);
}

void test_control() {
    int id = segment(3 * page);
    CHECK_ERRNO(shmctl(id, 77, nullptr), EINVAL);
    CHECK_ERRNO(shmctl(id, -1, nullptr), EINVAL);
    CHECK_ERRNO(shmctl(-1, IPC_INFO, nullptr), EINVAL);
    CHECK_ERRNO(shmctl(id, IPC_STAT, static_cast<shmid_ds*>(nullptr)), EFAULT);
    CHECK_ERRNO(shmctl(id, IPC_SET, reinterpret_cast<shmid_ds*>(8)), EFAULT);
    CHECK_ERRNO(shmctl(0, IPC_INFO, nullptr), EFAULT);
    shminfo limits;
    int highest = shmctl(0, IPC_INFO, reinterpret_cast<shmid_ds*>(&limits));
    CHECK(highest >= (id & 0x7fff));
    CHECK_EQ(limits.shmmin, 1u);
    CHECK_EQ(limits.shmmni, 4096u);
    CHECK_EQ(limits.shmseg, 4096u);
    CHECK_EQ(limits.shmmax, ~0ul - (1ul << 24));
    shm_info before, after;
    CHECK_EQ(shmctl(0, SHM_INFO, reinterpret_cast<shmid_ds*>(&before)), highest);
    int other = segment(5 * page);
    char* place = attach(other);
    memset(place, 1, 5 * page);
    CHECK(shmctl(0, SHM_INFO, reinterpret_cast<shmid_ds*>(&after)) >= highest);
    CHECK_EQ(after.used_ids - before.used_ids, 1);
    CHECK_EQ(after.shm_tot - before.shm_tot, 5u);
    CHECK_EQ(after.shm_rss - before.shm_rss, 5u);
    CHECK_EQ(shmdt(place), 0);
    shmid_ds data;
    CHECK_EQ(shmctl(other & 0x7fff, SHM_STAT, &data), other);
    CHECK_EQ(data.shm_segsz, 5 * page);
    CHECK_ERRNO(shmctl(0x7ffe, SHM_STAT, &data), EINVAL);
    CHECK_EQ(shmctl(id, SHM_LOCK, nullptr), 0);
    CHECK_EQ(shmctl(id, SHM_LOCK, nullptr), 0);
    CHECK_EQ(status_of(id).shm_perm.mode, 0600u | SHM_LOCKED);
    CHECK_EQ(shmctl(id, SHM_UNLOCK, nullptr), 0);
    CHECK_EQ(status_of(id).shm_perm.mode, 0600u);
    remove(id), remove(other);
}

void test_views() {
    int id = segment(3 * page, IPC_CREAT | 0600, some_key);
    char* place = attach(id);
    char line[200];
    std::string maps = contents("/proc/self/maps");
    CHECK(maps.find("/SYSV4c696e6e (deleted)") != std::string::npos);
    size_t at = maps.rfind('\n', maps.find("/SYSV4c696e6e (deleted)")) + 1;
    unsigned long begin, end, offset, inode;
    char rights[8];
    unsigned major, minor;
    CHECK_EQ(
        sscanf(maps.c_str() + at, "%lx-%lx %7s %lx %x:%x %lu", &begin, &end, rights, &offset, &major, &minor, &inode),
        7);
    CHECK_EQ(begin, reinterpret_cast<unsigned long>(place));
    CHECK_EQ(end - begin, 3 * page);
    CHECK_STREQ(rights, "rw-s");
    CHECK_EQ(inode, static_cast<unsigned long>(id));
    std::string table = contents("/proc/sysvipc/shm");
    const char* heading = "       key      shmid perms                  size  cpid  lpid nattch   uid   gid  cuid  cgid"
                          "      atime      dtime      ctime                   rss                  swap\n";
    CHECK_EQ(table.compare(0, strlen(heading), heading), 0);
    snprintf(line, sizeof line, "%10d %10d  %4o %21lu %5u %5u  %5lu %5u %5u %5u %5u ", some_key, id, 0600u, 3 * page,
             unsigned(getpid()), unsigned(getpid()), 1ul, 0u, 0u, 0u, 0u);
    CHECK(table.find(line) != std::string::npos);
    CHECK_EQ(shmdt(place), 0);
    remove(id);
    CHECK(contents("/proc/sysvipc/shm").find(line) == std::string::npos);
}

void write_limit(const char* name, const std::string& value) {
    std::string path = std::string("/proc/sys/kernel/") + name;
    int fd = open(path.c_str(), O_WRONLY);
    CHECK_EQ(write(fd, value.data(), value.size()), ssize_t(value.size()));
    close(fd);
}

void test_limits() {
    std::string most_bytes = contents("/proc/sys/kernel/shmmax"), most_pages = contents("/proc/sys/kernel/shmall"),
                most = contents("/proc/sys/kernel/shmmni");
    CHECK_EQ(most_bytes.compare("18446744073692774399\n"), 0);
    CHECK_EQ(most_pages.compare("18446744073692774399\n"), 0);
    CHECK_EQ(most.compare("4096\n"), 0);
    write_limit("shmmax", std::to_string(2 * page));
    CHECK_ERRNO(shmget(IPC_PRIVATE, 2 * page + 1, 0600), EINVAL);
    int id = segment(2 * page);
    write_limit("shmmax", most_bytes);
    shm_info now;
    shmctl(0, SHM_INFO, reinterpret_cast<shmid_ds*>(&now));
    write_limit("shmall", std::to_string(now.shm_tot + 2));
    CHECK_ERRNO(shmget(IPC_PRIVATE, 3 * page, 0600), ENOSPC);
    int other = segment(2 * page);
    write_limit("shmall", most_pages);
    write_limit("shmmni", std::to_string(now.used_ids + 1));
    CHECK_ERRNO(shmget(IPC_PRIVATE, page, 0600), ENOSPC);
    write_limit("shmmni", most);
    remove(id), remove(other);
}

// Many processes attach, write and detach one segment that is removed under them.
void test_crowd() {
    for (int round = 0; round < 20; round++) {
        int id = segment();
        pid_t children[8];
        for (pid_t& child : children) {
            child = fork();
            if (child == 0) {
                for (int i = 0; i < 50; i++) {
                    char* place = attach(id);
                    if (place == bad) _exit(errno == EINVAL || errno == EIDRM ? 0 : 1);
                    __atomic_fetch_add(reinterpret_cast<int*>(place), 1, __ATOMIC_RELAXED);
                    if (shmdt(place) != 0) _exit(2);
                }
                _exit(0);
            }
        }
        if (round % 2) remove(id);
        for (pid_t child : children) {
            int status = -1;
            CHECK_EQ(waitpid(child, &status, 0), child);
            CHECK_EQ(status, 0);
        }
        if (round % 2) {
            shmid_ds data;
            CHECK_ERRNO(shmctl(id, IPC_STAT, &data), EINVAL);
            continue;
        }
        char* place = attach(id);
        CHECK_EQ(*reinterpret_cast<int*>(place), 8 * 50);
        CHECK_EQ(shmdt(place), 0);
        CHECK_EQ(attached(id), 0u);
        remove(id);
    }
}

} // namespace

int main(int count, char** arguments) {
    if (count > 1 && strcmp(arguments[1], "wait") == 0) {
        char byte;
        return read(0, &byte, 1) == 0 ? 0 : 1;
    }
    test_get();
    test_attach();
    test_addresses();
    test_inheritance();
    test_removal();
    test_ids();
    test_rights();
    test_control();
    test_views();
    test_limits();
    test_crowd();
    return check::result();
}
