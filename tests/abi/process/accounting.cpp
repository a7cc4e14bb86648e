// Process accounting: acct(2), the records of acct(5) in their third version, and /proc/sys/kernel/acct.
#include <fcntl.h>
#include <pthread.h>
#include <sys/acct.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>

#include "asleep.hpp"
#include "proc_text.hpp"

namespace {

const char* const directory = "/tmp/accounts";
const char* const file_name = "/tmp/accounts/pacct";
const char* const knob = "/proc/sys/kernel/acct";

int call(const char* name) { return int(syscall(SYS_acct, name)); }
double value_of(comp_t number) { return double(number & 0x1fff) * double(1u << 3 * (number >> 13)); }

acct_v3 records[64];
int count() {
    const int file = open(file_name, O_RDONLY | O_CLOEXEC);
    const ssize_t size = read(file, records, sizeof records);
    close(file);
    CHECK_EQ(size % ssize_t(sizeof(acct_v3)), 0);
    return int(size / ssize_t(sizeof(acct_v3)));
}
// The record of a process that ended last; the program itself reads as it goes on.
const acct_v3* record_of(pid_t pid) {
    for (int i = count() - 1; i >= 0; i--)
        if (pid_t(records[i].ac_pid) == pid) return &records[i];
    return nullptr;
}

int flags_of(pid_t pid) {
    const acct_v3* record = record_of(pid);
    CHECK(record != nullptr);
    return record ? int(record->ac_flag) : -1;
}

template <typename F>
pid_t ended(F body) {
    const pid_t pid = fork();
    if (pid == 0) {
        body();
        _exit(0);
    }
    CHECK_EQ(waitpid(pid, nullptr, 0), pid);
    return pid;
}

void* burn(void*) {
    timespec time;
    do {
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    } while (time.tv_nsec < 200000000 && time.tv_sec == 0);
    return nullptr;
}

void test_errors() {
    CHECK_EQ(call(nullptr), 0); // also when it is off
    CHECK_ERRNO(call("/tmp/accounts/none"), ENOENT);
    CHECK_ERRNO(call(""), ENOENT);
    CHECK_ERRNO(call(directory), EISDIR);
    CHECK_ERRNO(call("/dev/null"), EACCES);
    CHECK_ERRNO(call("/tmp/accounts/pacct/more"), ENOTDIR);
    CHECK_ERRNO(call(reinterpret_cast<const char*>(-4096)), EFAULT);
    symlink("loop", "/tmp/accounts/loop");
    CHECK_ERRNO(call("/tmp/accounts/loop"), ELOOP);
    check::run_in_child([] {
        CHECK_OK(setuid(65534));
        CHECK_ERRNO(call(file_name), EPERM);
        CHECK_ERRNO(call(nullptr), EPERM);
    });
    CHECK_OK(mount(nullptr, directory, nullptr, MS_REMOUNT | MS_RDONLY, nullptr));
    CHECK_ERRNO(call(file_name), EROFS);
    CHECK_OK(mount(nullptr, directory, nullptr, MS_REMOUNT, nullptr));
}

void test_records() {
    CHECK_OK(call(file_name));
    const time_t begin = time(nullptr);
    const pid_t plain = ended([] {
        if (setgid(77) || setuid(78)) _exit(1);
        _exit(5);
    });
    const acct_v3* record = record_of(plain);
    CHECK(record != nullptr);
    if (!record) return;
    CHECK_EQ(record->ac_version & 0x7f, 3);
    CHECK_EQ(record->ac_flag & (AFORK | AXSIG | ACORE), AFORK);
    CHECK_EQ(record->ac_exitcode, 5u << 8);
    CHECK_EQ(record->ac_uid, 78u);
    CHECK_EQ(record->ac_gid, 77u);
    CHECK_EQ(record->ac_ppid, unsigned(getpid()));
    CHECK(record->ac_btime + 1 >= begin && record->ac_btime <= time(nullptr) + 1);
    CHECK(record->ac_etime >= 0 && record->ac_etime < 3000);
    CHECK_GE(value_of(record->ac_mem), 4.0);
    CHECK_GE(value_of(record->ac_minflt), 1.0);
    CHECK_EQ(int(record->ac_io), 0);
    CHECK_EQ(int(record->ac_rw), 0);
    CHECK_EQ(int(record->ac_swaps), 0);
    CHECK(strncmp(record->ac_comm, "accounting", sizeof record->ac_comm) == 0);

    const pid_t killed = ended([] { kill(getpid(), SIGTERM); });
    record = record_of(killed);
    CHECK(record && (record->ac_flag & AXSIG) && record->ac_exitcode == SIGTERM);

    // It is written before anybody can wait for the process, by whichever thread ends last.
    const pid_t busy = ended([] {
        pthread_t thread;
        pthread_create(&thread, nullptr, burn, nullptr);
        burn(nullptr);
        pthread_join(thread, nullptr);
        check::nap();
    });
    record = record_of(busy);
    CHECK(record != nullptr);
    if (record) {
        CHECK_GE(value_of(record->ac_utime) + value_of(record->ac_stime), 5.0); // Linux counts ticks, and loses some
        CHECK_GE(record->ac_etime, 19.0f);
        int times = 0;
        for (int i = 0; i < count(); i++) times += pid_t(records[i].ac_pid) == busy;
        CHECK_EQ(times, 1);
    }

    // Who has executed a program: its name, and no AFORK.
    const pid_t executed = ended([] { execl("/proc/self/exe", "x", "program", nullptr); });
    record = record_of(executed);
    CHECK(record && !(record->ac_flag & AFORK) && record->ac_exitcode == 7u << 8);

    // Who used a capability, in whichever thread; a child begins without.
    CHECK_EQ(flags_of(ended([] {})) & ASU, 0);
    const pid_t privileged = ended([] {
        pthread_t thread;
        pthread_create(
            &thread, nullptr, [](void*) -> void* { return CHECK_OK(sethostname("guest", 5)), nullptr; }, nullptr);
        pthread_join(thread, nullptr);
        CHECK_EQ(flags_of(ended([] {})) & ASU, 0);
    });
    CHECK_EQ(flags_of(privileged) & ASU, ASU);
    const pid_t refused = ended([] {
        CHECK_OK(syscall(SYS_setresuid, 78, 78, 78));
        const pid_t child = ended([] {
            CHECK_ERRNO(sethostname("guest", 5), EPERM);
            CHECK_OK(close(open("/proc/self/stat", O_RDONLY | O_CLOEXEC)));
        });
        CHECK_EQ(kill(child, 0), -1);
    });
    CHECK_EQ(flags_of(refused) & ASU, ASU);
    for (int i = 0; i < count(); i++)
        if (pid_t(records[i].ac_ppid) == refused) CHECK_EQ(records[i].ac_flag & ASU, 0);

    // Limits of who dies don't count.
    const pid_t limited = ended([] {
        const rlimit none = {0, 0};
        setrlimit(RLIMIT_FSIZE, &none);
    });
    record = record_of(limited);
    CHECK(record && record->ac_exitcode == 0);

    // Another file. The last record of the old one is of who asked for that, as far as it is known.
    const int before = count();
    CHECK_OK(close(open("/tmp/accounts/other", O_CREAT | O_WRONLY | O_CLOEXEC, 0600)));
    CHECK_OK(call("/tmp/accounts/other"));
    ended([] {});
    CHECK_EQ(count(), before + 1);
    record = &records[before];
    CHECK_EQ(pid_t(record->ac_pid), getpid());
    CHECK_EQ(int(record->ac_flag), 0);
    CHECK_EQ(record->ac_exitcode, 0u);
    CHECK_EQ(int(record->ac_mem) + int(record->ac_utime) + int(record->ac_minflt), 0);
    CHECK(strncmp(record->ac_comm, "accounting", sizeof record->ac_comm) == 0);
    struct stat status;
    CHECK_OK(stat("/tmp/accounts/other", &status));
    CHECK_EQ(status.st_size, 64);
    CHECK_OK(call(nullptr));
    ended([] {});
    CHECK_OK(stat("/tmp/accounts/other", &status));
    CHECK_EQ(status.st_size, 128);
    CHECK_OK(call(nullptr));
    CHECK_OK(stat("/tmp/accounts/other", &status));
    CHECK_EQ(status.st_size, 128);
}

// Free blocks of the file system, in percent.
long free_percent() {
    struct statfs status;
    CHECK_OK(statfs(directory, &status));
    return long(status.f_bavail * 100 / status.f_blocks);
}

void test_space() {
    char before[64];
    strncpy(before, proc_text::read_file(knob), sizeof before - 1);
    CHECK_STREQ(before, "4\t2\t30\n");
    CHECK(proc_text::write_file(knob, "50 40"));
    CHECK_STREQ(proc_text::read_file(knob), "50\t40\t30\n");
    CHECK(proc_text::write_file(knob, "60\t40 0\n"));
    CHECK_STREQ(proc_text::read_file(knob), "60\t40\t0\n");
    CHECK(!proc_text::write_file(knob, "x") && errno == EINVAL);
    CHECK_STREQ(proc_text::read_file(knob), "60\t40\t0\n");
    check::run_in_child([] {
        CHECK_OK(setuid(65534));
        CHECK(!proc_text::write_file(knob, "1 2 3"));
    });

    CHECK_OK(call(file_name));
    const int filler = open("/tmp/accounts/filler", O_CREAT | O_RDWR | O_CLOEXEC, 0600);
    ended([] {});
    int records_before = count();
    ended([] {});
    CHECK_EQ(count(), records_before + 1);
    struct statfs status;
    CHECK_OK(statfs(directory, &status));
    auto fill = [&](long percent) { // of all blocks shall be used
        CHECK_OK(ftruncate(filler, 0));
        CHECK_EQ(posix_fallocate(filler, 0, off_t(status.f_bsize) * off_t(status.f_blocks) * percent / 100), 0);
    };
    fill(70); // 30 % free: suspended
    CHECK(free_percent() < 40);
    records_before = count();
    ended([] {});
    ended([] {});
    CHECK_EQ(count(), records_before);
    fill(45); // above the one, below the other: still suspended
    CHECK(free_percent() > 40 && free_percent() < 60);
    ended([] {});
    CHECK_EQ(count(), records_before);
    fill(10);
    CHECK(free_percent() > 60);
    ended([] {});
    CHECK_EQ(count(), records_before + 1);
    fill(45); // above both again, coming from above: goes on
    ended([] {});
    CHECK_EQ(count(), records_before + 2);
    CHECK_OK(call(nullptr));
    close(filler);
    CHECK(proc_text::write_file(knob, before));
    CHECK_STREQ(proc_text::read_file(knob), before);
}

// Accounting doesn't keep a file system busy: unmounting ends it, with a last record.
void test_unmounting() {
    const char* const second = "/tmp/accounts_too";
    mkdir(second, 0700);
    CHECK_OK(mount(directory, second, nullptr, MS_BIND, nullptr));
    CHECK_OK(call("/tmp/accounts_too/pacct"));
    ended([] {});
    const int before = count();
    CHECK_OK(umount(second));
    CHECK_EQ(count(), before + 1);
    CHECK_EQ(pid_t(records[before].ac_pid), getpid());
    ended([] {});
    CHECK_EQ(count(), before + 1);
    // Another mount of the same file system is none of its business.
    CHECK_OK(mount(directory, second, nullptr, MS_BIND, nullptr));
    CHECK_OK(call(file_name));
    CHECK_OK(umount(second));
    ended([] {});
    CHECK_EQ(count(), before + 2);
    rmdir(second);
    // main() unmounts while it is on.
}

} // namespace

int main(int argc, char**) {
    if (argc > 1) return 7;
    if (syscall(SYS_acct, nullptr) != 0 && errno == ENOSYS) check::skip("built without process accounting");
    mkdir(directory, 0700);
    CHECK_OK(mount("accounts", directory, "tmpfs", 0, "size=4m"));
    CHECK_OK(close(open(file_name, O_CREAT | O_WRONLY | O_CLOEXEC, 0600)));
    test_errors();
    test_records();
    test_space();
    test_unmounting();
    CHECK_OK(umount(directory));
    rmdir(directory);
    return check::result();
}
