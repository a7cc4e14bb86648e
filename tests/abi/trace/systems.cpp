// Events of signals, tasks, timers and interrupts: what they say and when they come.
#include <csignal>
#include <pthread.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/time.h>

#include "asleep.hpp"
#include "child.hpp"
#include "tracefs.hpp"

using namespace check;
using namespace tracefs;

namespace {

void enable(const std::string& event, const char* value = "1") {
    CHECK_EQ(write_text("events/" + event + "/enable", value), 0);
}

std::string number(long value) { return std::to_string(value); }

/// A format without the heads, which have numbers of their own.
std::string own_fields(const std::string& event) {
    const std::string text = read_all("events/" + event + "/format");
    const size_t at = text.find("\n\n");
    return at == std::string::npos ? text : text.substr(at + 2);
}

/// Newer kernels say u64 where others say unsigned long; it is the same.
std::string with_long(std::string text) {
    for (const auto& [newer, older] :
         {std::pair<const char*, const char*>{"field:u64 ", "field:unsigned long "}, {"%llx", "%lx"}})
        for (size_t at; (at = text.find(newer)) != std::string::npos;) text.replace(at, strlen(newer), older);
    return text;
}

void expect_format(const char* event, const std::string& wanted) {
    const std::string found = with_long(own_fields(event));
    CHECK_STREQ(found.c_str(), wanted.c_str());
}

void formats() {
    expect_format("signal/signal_generate",
                  ("\tfield:int sig;\toffset:8;\tsize:4;\tsigned:1;\n"
                   "\tfield:int errno;\toffset:12;\tsize:4;\tsigned:1;\n"
                   "\tfield:int code;\toffset:16;\tsize:4;\tsigned:1;\n"
                   "\tfield:char comm[16];\toffset:20;\tsize:16;\tsigned:0;\n"
                   "\tfield:pid_t pid;\toffset:36;\tsize:4;\tsigned:1;\n"
                   "\tfield:int group;\toffset:40;\tsize:4;\tsigned:1;\n"
                   "\tfield:int result;\toffset:44;\tsize:4;\tsigned:1;\n"
                   "\nprint fmt: \"sig=%d errno=%d code=%d comm=%s pid=%d grp=%d res=%d\", REC->sig, REC->errno, "
                   "REC->code, REC->comm, REC->pid, REC->group, REC->result\n"));
    expect_format("signal/signal_deliver",
                  ("\tfield:int sig;\toffset:8;\tsize:4;\tsigned:1;\n"
                   "\tfield:int errno;\toffset:12;\tsize:4;\tsigned:1;\n"
                   "\tfield:int code;\toffset:16;\tsize:4;\tsigned:1;\n"
                   "\tfield:unsigned long sa_handler;\toffset:24;\tsize:8;\tsigned:0;\n"
                   "\tfield:unsigned long sa_flags;\toffset:32;\tsize:8;\tsigned:0;\n"
                   "\nprint fmt: \"sig=%d errno=%d code=%d sa_handler=%lx sa_flags=%lx\", REC->sig, REC->errno, "
                   "REC->code, REC->sa_handler, REC->sa_flags\n"));
    expect_format("irq/irq_handler_entry", ("\tfield:int irq;\toffset:8;\tsize:4;\tsigned:1;\n"
                                            "\tfield:__data_loc char[] name;\toffset:12;\tsize:4;\tsigned:0;\n"
                                            "\nprint fmt: \"irq=%d name=%s\", REC->irq, __get_str(name)\n"));
    expect_format("irq/irq_handler_exit",
                  ("\tfield:int irq;\toffset:8;\tsize:4;\tsigned:1;\n"
                   "\tfield:int ret;\toffset:12;\tsize:4;\tsigned:1;\n"
                   "\nprint fmt: \"irq=%d ret=%s\", REC->irq, REC->ret ? \"handled\" : \"unhandled\"\n"));
    expect_format("task/task_rename",
                  ("\tfield:pid_t pid;\toffset:8;\tsize:4;\tsigned:1;\n"
                   "\tfield:char oldcomm[16];\toffset:12;\tsize:16;\tsigned:0;\n"
                   "\tfield:char newcomm[16];\toffset:28;\tsize:16;\tsigned:0;\n"
                   "\tfield:short oom_score_adj;\toffset:44;\tsize:2;\tsigned:1;\n"
                   "\nprint fmt: \"pid=%d oldcomm=%s newcomm=%s oom_score_adj=%hd\", REC->pid, REC->oldcomm, "
                   "REC->newcomm, REC->oom_score_adj\n"));
    expect_format("task/task_newtask",
                  ("\tfield:pid_t pid;\toffset:8;\tsize:4;\tsigned:1;\n"
                   "\tfield:char comm[16];\toffset:12;\tsize:16;\tsigned:0;\n"
                   "\tfield:unsigned long clone_flags;\toffset:32;\tsize:8;\tsigned:0;\n"
                   "\tfield:short oom_score_adj;\toffset:40;\tsize:2;\tsigned:1;\n"
                   "\nprint fmt: \"pid=%d comm=%s clone_flags=%lx oom_score_adj=%hd\", REC->pid, REC->comm, "
                   "REC->clone_flags, REC->oom_score_adj\n"));
    const std::string start = own_fields("timer/hrtimer_start");
    CHECK(contains(start, "\tfield:void * hrtimer;\toffset:8;\tsize:8;\tsigned:0;\n"
                          "\tfield:void * function;\toffset:16;\tsize:8;\tsigned:0;\n"
                          "\tfield:s64 expires;\toffset:24;\tsize:8;\tsigned:1;\n"
                          "\tfield:s64 softexpires;\toffset:32;\tsize:8;\tsigned:1;\n"
                          "\tfield:enum hrtimer_mode mode;\toffset:40;\tsize:4;\tsigned:0;\n"));
    expect_format("timer/hrtimer_expire_entry",
                  ("\tfield:void * hrtimer;\toffset:8;\tsize:8;\tsigned:0;\n"
                   "\tfield:s64 now;\toffset:16;\tsize:8;\tsigned:1;\n"
                   "\tfield:void * function;\toffset:24;\tsize:8;\tsigned:0;\n"
                   "\nprint fmt: \"hrtimer=%p function=%ps now=%llu\", REC->hrtimer, REC->function, (unsigned long "
                   "long) REC->now\n"));
    for (const char* event : {"timer/hrtimer_expire_exit", "timer/hrtimer_cancel"})
        expect_format(event, ("\tfield:void * hrtimer;\toffset:8;\tsize:8;\tsigned:0;\n"
                              "\nprint fmt: \"hrtimer=%p\", REC->hrtimer\n"));
}

void on_signal(int) {}
void on_info(int, siginfo_t*, void*) {}

std::string hexadecimal(unsigned long value) {
    char text[32];
    snprintf(text, sizeof text, "%lx", value);
    return text;
}

std::string my_name() { return std::string(program_invocation_short_name).substr(0, 15); }

void signals() {
    reset();
    handle(SIGUSR1, on_signal);
    handle(SIGUSR2, on_info, SA_NODEFER);
    signal(SIGWINCH, SIG_IGN);
    CHECK_EQ(write_text("set_event_pid", number(getpid()), O_TRUNC), 0);
    enable("signal");
    const pid_t me = getpid();
    kill(me, SIGUSR1);
    syscall(SYS_tgkill, me, me, SIGUSR2);
    kill(me, SIGWINCH);
    // A second one while the first waits.
    sigset_t set = set_of(SIGUSR1), old;
    sigprocmask(SIG_BLOCK, &set, &old);
    kill(me, SIGUSR1);
    kill(me, SIGUSR1);
    sigprocmask(SIG_SETMASK, &old, nullptr);
    sigqueue(me, SIGUSR2, sigval{5});
    enable("signal", "0");
    const std::string text = entries();
    const std::string about = " comm=" + my_name() + " pid=" + number(me);
    const auto generated = [&](int sig, int code, int group, int result) {
        return count(text, ": signal_generate: sig=" + number(sig) + " errno=0 code=" + number(code) + about +
                               " grp=" + number(group) + " res=" + number(result) + "\n");
    };
    CHECK_EQ(generated(SIGUSR1, SI_USER, 1, 0), 2u);
    CHECK_EQ(generated(SIGUSR1, SI_USER, 1, 2), 1u);
    CHECK_EQ(generated(SIGUSR2, SI_TKILL, 0, 0), 1u);
    CHECK_EQ(generated(SIGUSR2, SI_QUEUE, 1, 0), 1u);
    CHECK_EQ(generated(SIGWINCH, SI_USER, 1, 1), 1u);
    const auto delivered = [&](int sig, int code) {
        return count(text, ": signal_deliver: sig=" + number(sig) + " errno=0 code=" + number(code) + " sa_handler=");
    };
    CHECK_EQ(delivered(SIGUSR1, SI_USER), 2u);
    CHECK_EQ(delivered(SIGUSR2, SI_TKILL), 1u);
    CHECK_EQ(delivered(SIGUSR2, SI_QUEUE), 1u);
    CHECK_EQ(delivered(SIGWINCH, SI_USER), 0u);
    CHECK(contains(text, " sa_handler=" + hexadecimal(reinterpret_cast<unsigned long>(on_signal)) + " sa_flags="));
    CHECK(contains(text, " sa_handler=" + hexadecimal(reinterpret_cast<unsigned long>(on_info)) + " sa_flags="));
    signal(SIGUSR1, SIG_DFL), signal(SIGUSR2, SIG_DFL), signal(SIGWINCH, SIG_DFL);
}

void signals_of_others() {
    reset();
    const pid_t child = pausing();
    enable("signal/signal_generate");
    CHECK_EQ(write_text("events/signal/signal_generate/filter", "pid == " + number(child)), 0);
    kill(child, SIGTERM);
    CHECK_EQ(waitpid(child, nullptr, 0), child);
    CHECK_EQ(write_text("events/signal/signal_generate/filter", "0"), 0);
    enable("signal", "0");
    const std::string text = entries();
    CHECK(contains(text, ": signal_generate: sig=15 errno=0 code=0 comm=" + my_name() + " pid=" + number(child) +
                             " grp=1 res=0\n"));
    CHECK(contains(text, "-" + number(getpid())));
}

void tasks() {
    reset();
    enable("task");
    CHECK_OK(prctl(PR_SET_NAME, "a very long name of a thread"));
    const pid_t child = fork();
    if (child == 0) {
        execl("/proc/self/exe", "other", "nothing", nullptr);
        _exit(1);
    }
    CHECK_EQ(waitpid(child, nullptr, 0), child);
    pthread_t thread;
    std::atomic<pid_t> tid{0};
    pthread_create(
        &thread, nullptr,
        [](void* argument) -> void* {
            *static_cast<std::atomic<pid_t>*>(argument) = pid_t(syscall(SYS_gettid));
            return nullptr;
        },
        &tid);
    pthread_join(thread, nullptr);
    enable("task", "0");
    CHECK_OK(prctl(PR_SET_NAME, my_name().c_str()));
    const std::string text = entries();
    CHECK(contains(text, ": task_rename: pid=" + number(getpid()) + " oldcomm=" + my_name() +
                             " newcomm=a very long nam oom_score_adj=0\n"));
    CHECK(contains(text, ": task_newtask: pid=" + number(child) +
                             " comm=a very long nam clone_flags=1200000 oom_score_adj=0\n"));
    CHECK(contains(text, ": task_rename: pid=" + number(child) + " oldcomm=a very long nam newcomm=exe "));
    CHECK(contains(text, ": task_newtask: pid=" + number(tid) +
                             " comm=a very long nam clone_flags=3d0f00 oom_score_adj=0\n"));
}

void timers() {
    reset();
    enable("timer/hrtimer_start");
    enable("timer/hrtimer_expire_entry");
    enable("timer/hrtimer_expire_exit");
    enable("timer/hrtimer_cancel");
    for (int i = 0; i < 3; ++i) nap();
    const pid_t child = fork();
    if (child == 0) {
        alarm(1000);
        alarm(0);
        _exit(0);
    }
    CHECK_EQ(waitpid(child, nullptr, 0), child);
    enable("timer", "0");
    const std::string text = entries();
    CHECK_GE(count(text, ": hrtimer_start: hrtimer="), 3u);
    CHECK_GE(count(text, ": hrtimer_expire_entry: hrtimer="), 3u);
    CHECK_GE(count(text, ": hrtimer_expire_exit: hrtimer="), 3u);
    CHECK_GE(count(text, ": hrtimer_cancel: hrtimer="), 1u);
    CHECK(contains(text, " softexpires="));
    CHECK(contains(text, " now="));
}

/// Whatever device there is, something is said of it when the console writes.
void interrupts() {
    reset();
    enable("irq/irq_handler_entry");
    enable("irq/irq_handler_exit");
    CHECK(eventually([] {
        printf("a line that a device has to be told of\n");
        fflush(stdout);
        return contains(read_all("trace"), ": irq_handler_exit: irq=");
    }));
    enable("irq/irq_handler_entry", "0");
    enable("irq/irq_handler_exit", "0");
    const std::string text = entries();
    CHECK(contains(text, ": irq_handler_entry: irq="));
    CHECK(contains(text, " name="));
    CHECK(contains(text, " ret=handled\n"));
}

/// Events that come up under locks, with a reader that is woken for each, while four processes make them.
void all_at_once() {
    reset();
    for (const char* system :
         {"signal", "task", "timer/hrtimer_start", "timer/hrtimer_cancel", "timer/hrtimer_expire_entry",
          "timer/hrtimer_expire_exit", "sched/sched_switch", "sched/sched_waking", "irq/irq_handler_entry"})
        enable(system);
    const pid_t reader = fork();
    if (reader == 0) {
        const int fd = open(path("trace_pipe").c_str(), O_RDONLY);
        char bytes[4096];
        while (read(fd, bytes, sizeof bytes) >= 0) {
        }
        _exit(0);
    }
    pid_t workers[4];
    for (pid_t& worker : workers) {
        worker = fork();
        if (worker != 0) continue;
        signal(SIGUSR1, on_signal);
        for (int i = 0; i < 200; ++i) {
            raise(SIGUSR1);
            nap();
            ualarm(900000, 0);
            if (i % 20 == 0) run_in_child([] {});
        }
        ualarm(0, 0);
        _exit(0);
    }
    for (const pid_t worker : workers) {
        int status = -1;
        CHECK_EQ(waitpid(worker, &status, 0), worker);
        CHECK_EQ(status, 0);
    }
    CHECK_EQ(write_text("set_event", "\n", O_TRUNC), 0);
    end_child(reader);
}

} // namespace

int main(int argc, char**) {
    if (argc > 1) return 0; // executed
    tracefs::mount();
    formats();
    signals();
    signals_of_others();
    tasks();
    timers();
    interrupts();
    all_at_once();
    unmount();
    return result();
}
