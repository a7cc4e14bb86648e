// Cores that go to a program (core(5), "Piping core dumps to a program"). The program is this one, started by the
// kernel with a word that says how to behave.
// timeout: 120
#include <dirent.h>
#include <pthread.h>
#include <sys/prctl.h>

#include "core_file.hpp"
#include "memory.hpp"

using namespace core_file;
using memory::page;

namespace {

// ---- the helper ----

std::string folder_of(const char* path) { return std::string(path, size_t(strrchr(path, '/') - path)); }

void put_file(const std::string& path, const std::string& text) {
    const int fd = open(path.c_str(), O_CREAT | O_WRONLY | O_TRUNC, 0644);
    if (write(fd, text.data(), text.size()) < 0) _exit(2);
    close(fd);
}

void wait_for(const std::string& path) {
    CHECK(check::eventually([&] { return exists(path); }));
}

void copy_input(const std::string& path) {
    const int fd = open(path.c_str(), O_CREAT | O_WRONLY | O_TRUNC, 0644);
    static char buffer[1 << 16];
    for (ssize_t count; (count = read(0, buffer, sizeof buffer)) > 0;)
        if (write(fd, buffer, size_t(count)) != count) _exit(3);
    close(fd);
}

int entries_of(const std::string& path) {
    DIR* directory = opendir(path.c_str());
    int count = 0;
    while (directory && readdir(directory)) ++count;
    if (directory) closedir(directory);
    return count - 2;
}

/// Who the helper is, and what it sees of the process that crashed.
std::string report(int count, char** arguments, char** environment) {
    char text[2000], working[200] = "", executable[300] = "";
    int variables = 0;
    while (environment[variables]) ++variables;
    if (!getcwd(working, sizeof working)) return "no directory";
    const std::string proc = std::string("/proc/") + arguments[2];
    if (readlink((proc + "/exe").c_str(), executable, sizeof executable - 1) < 0) strcpy(executable, "none");
    char name[40] = "";
    if (const char* comm = proc_text::read_file((proc + "/comm").c_str())) snprintf(name, sizeof name, "%s", comm);
    *strchrnul(name, '\n') = 0;
    const char* maps = proc_text::read_file((proc + "/maps").c_str());
    const bool has_stack = maps && strstr(maps, "[stack]");
    const long long dumping = proc_text::number_in((proc + "/status").c_str(), "CoreDumping");
    snprintf(text, sizeof text,
             "uid %d %d cwd %s variables %d session %d group %d arguments %d '%s' '%s' open %d\n"
             "exe %s comm %s threads %d stack %d dumping %lld\n",
             int(getuid()), int(geteuid()), working, variables, int(getsid(0)), int(getpgrp()), count, arguments[3],
             arguments[4], entries_of("/proc/self/fd") - 1, executable, name, entries_of(proc + "/task"), has_stack,
             dumping);
    return text;
}

int help(int count, char** arguments, char** environment) {
    const std::string folder = folder_of(arguments[0]), word = arguments[1];
    const int runs = open((folder + "/runs").c_str(), O_CREAT | O_WRONLY | O_APPEND, 0644);
    if (write(runs, "x", 1) != 1) return 4;
    close(runs);
    if (word == "leave") return 0;
    if (word == "crash") abort();
    if (word == "hold") {
        put_file(folder + "/held", "");
        wait_for(folder + "/go");
    }
    copy_input(folder + "/piped");
    put_file(folder + "/report", report(count, arguments, environment));
    put_file(folder + "/done", "");
    return 0;
}

// ---- the test ----

struct HelperPlace : Place {
    HelperPlace() : Place() {
        char self[300] = "";
        CHECK_GT(readlink("/proc/self/exe", self, sizeof self - 1), 0);
        const std::string command = std::string("cp ") + self + " " + folder + "/h";
        REQUIRE(system(command.c_str()) == 0);
    }
    [[nodiscard]] std::string call(const char* word) const { return "|" + folder + "/h " + word; }
    void forget() const {
        for (const char* name : {"runs", "held", "go", "piped", "report", "done"})
            unlink((folder + "/" + name).c_str());
    }
    /// How many helpers have begun.
    [[nodiscard]] long runs() const {
        struct stat status;
        return stat((folder + "/runs").c_str(), &status) == 0 ? long(status.st_size) : 0;
    }
};

void fill_memory_and_abort() {
    char* place = memory::map(64 * page);
    memset(place, 'w', 64 * page);
    abort();
}

pid_t crash_in_background(const std::function<void()>& body) {
    const pid_t child = fork();
    if (child == 0) {
        limit_core(RLIM_INFINITY);
        body();
        _exit(1);
    }
    return child;
}

int status_of(pid_t child) {
    int status = -1;
    CHECK_EQ(waitpid(child, &status, 0), child);
    return status;
}

void test_bytes_and_view(const HelperPlace& place) {
    // With a limit the process stays until the helper has had its look.
    const Setting limit(pipe_limit_file, "4");
    const Setting setting(pattern_file, place.call("look %p  two-%s %e"));
    auto& mark = *check::shared<char*>();
    auto& is_ready = *check::shared<std::atomic<int>>();
    // RLIMIT_CORE doesn't count for pipes, nor does the directory.
    const int status = crash(
        [&] {
            mark = memory::map(64 * page);
            memset(mark, 'w', 64 * page);
            pthread_t thread;
            pthread_create(
                &thread, nullptr,
                [](void* flag) -> void* {
                    *static_cast<std::atomic<int>*>(flag) = 1;
                    for (;;) pause();
                },
                &is_ready);
            REQUIRE(check::eventually([&] { return is_ready.load() != 0; }));
            REQUIRE(chdir("/proc") == 0);
            REQUIRE(setresgid(1234, 1234, 1234) == 0);
            REQUIRE(setresuid(1234, 1234, 1234) == 0);
            prctl(PR_SET_DUMPABLE, 1);
            abort();
        },
        0);
    CHECK(dumped_by(status, SIGABRT));
    CHECK(exists(place.folder + "/piped"));
    wait_for(place.folder + "/done");
    char self[300] = "";
    CHECK_GT(readlink("/proc/self/exe", self, sizeof self - 1), 0);
    char name[20] = "";
    prctl(PR_GET_NAME, name);
    char expected[1000];
    snprintf(expected, sizeof expected,
             "uid 0 0 cwd / variables 0 session 0 group 0 arguments 5 'two-6' '%s' open 1\n"
             "exe %s comm %s threads 2 stack 1 dumping 1\n",
             name, self, name);
    CHECK_STREQ(proc_text::read_file((place.folder + "/report").c_str()), expected);
    const Core core((place.folder + "/piped").c_str());
    CHECK(core.is_whole());
    CHECK_EQ(core.threads().size(), 2u);
    const std::string written(64 * page, 'w');
    CHECK(core.holds(mark, written.data(), written.size()));
    CHECK_EQ(place.runs(), 1);
    place.forget();
}

void test_without_limit(const HelperPlace& place) {
    const Setting limit(pipe_limit_file, "0");
    const Setting setting(pattern_file, place.call("look %p a b"));
    CHECK(dumped_by(crash(fill_memory_and_abort), SIGABRT));
    wait_for(place.folder + "/done");
    CHECK(Core((place.folder + "/piped").c_str()).is_whole());
    place.forget();
}

/// As many helpers at once as the limit says; a core that finds no place is lost.
void test_limit(const HelperPlace& place) {
    const Setting limit(pipe_limit_file, "1");
    const Setting setting(pattern_file, place.call("hold %p a b"));
    const pid_t first = crash_in_background(fill_memory_and_abort);
    wait_for(place.folder + "/held");
    CHECK(died_without(crash(fill_memory_and_abort), SIGABRT));
    put_file(place.folder + "/go", "");
    CHECK(dumped_by(status_of(first), SIGABRT));
    CHECK_EQ(place.runs(), 1);
    wait_for(place.folder + "/done");
    place.forget();
    put_file(place.folder + "/go", "");
    CHECK(dumped_by(crash(fill_memory_and_abort), SIGABRT));
    wait_for(place.folder + "/done");
    place.forget();
}

/// SIGKILL ends a dump; other signals don't.
void test_kill(const HelperPlace& place) {
    for (const char* most : {"0", "2"}) {
        const Setting limit(pipe_limit_file, most);
        const Setting setting(pattern_file, place.call("hold %p a b"));
        const pid_t child = crash_in_background(fill_memory_and_abort);
        wait_for(place.folder + "/held");
        for (int signal : {SIGTERM, SIGUSR1, SIGCONT, SIGSTOP, SIGSEGV, SIGRTMIN}) CHECK_EQ(kill(child, signal), 0);
        usleep(50'000); // that nothing happens has no event to wait for: time enough for what must not happen
        CHECK_EQ(waitpid(child, nullptr, WNOHANG), 0);
        CHECK_EQ(kill(child, SIGKILL), 0);
        const int status = status_of(child);
        CHECK(died_without(status, SIGKILL));
        put_file(place.folder + "/go", "");
        wait_for(place.folder + "/done");
        CHECK(!Core((place.folder + "/piped").c_str()).is_whole());
        place.forget();
    }
}

/// Another process crashes while one dumps.
void test_two(const HelperPlace& place) {
    const Setting limit(pipe_limit_file, "0");
    const Setting setting(pattern_file, place.call("hold %p a b"));
    const pid_t first = crash_in_background(fill_memory_and_abort);
    const pid_t second = crash_in_background(fill_memory_and_abort);
    CHECK(check::eventually([&] { return place.runs() == 2; }));
    put_file(place.folder + "/go", "");
    CHECK(dumped_by(status_of(first), SIGABRT));
    CHECK(dumped_by(status_of(second), SIGABRT));
    wait_for(place.folder + "/done");
    place.forget();
}

void test_bad_helpers(const HelperPlace& place) {
    const Setting limit(pipe_limit_file, "4");
    for (const std::string& none : {std::string("|/no/such/program"), std::string("|"), "|" + place.folder}) {
        const Setting setting(pattern_file, none);
        CHECK(died_without(crash(fill_memory_and_abort), SIGABRT));
    }
    {
        const Setting setting(pattern_file, place.call("leave"));
        CHECK_EQ(WTERMSIG(crash(fill_memory_and_abort)), SIGABRT);
        CHECK_EQ(place.runs(), 1);
        place.forget();
    }
    // A helper that crashes does not start another one.
    const Setting setting(pattern_file, place.call("crash"));
    CHECK_EQ(WTERMSIG(crash(fill_memory_and_abort)), SIGABRT);
    usleep(200'000); // time enough for what must not happen
    CHECK_EQ(place.runs(), 1);
    place.forget();
}

} // namespace

int main(int count, char** arguments, char** environment) {
    if (count > 1) return help(count, arguments, environment);
    const HelperPlace place;
    test_bytes_and_view(place);
    test_without_limit(place);
    test_limit(place);
    test_kill(place);
    test_two(place);
    test_bad_helpers(place);
    return check::result();
}
