// Stops of a tracee (ptrace(2), "Stopped states"). It sleeps on its own kernel stack, at the edge of its loop or in a
// call that is an event; the tracer ends the stop, and so does every death of the process.
//
// Locks: tree_lock, so that the tracer stays, then signal_lock, under which a stop begins and ends.
#include <core/sched.hpp>
#include <vfs/credentials.hpp>

#include "../internal.hpp"
#include "../signal/queue.hpp"
#include "relation.hpp"

namespace linnet::process {

using namespace signal_detail;

namespace ptrace_detail {
namespace {

struct Stop {
    TraceStop kind;
    int code;             // signal, event << 8
    abi::siginfo_t* info; // null in a group stop
    u64 message = 0;
    int signal = 0; // to go on with, should nobody trace it
    bool is_death = false;
};

/// False: it dies, or nobody traces it.
bool begin_stop_locked(Thread& self, const Stop& stop) {
    Process& process = self.process();
    core::InterruptSpinGuard guard(process.signal_lock);
    if ((self.pending_work.load(std::memory_order_relaxed) & core::work_exit) && !stop.is_death) return false;
    TraceState& trace = self.trace;
    trace.stop = stop.kind;
    trace.code = stop.code;
    trace.info = stop.info;
    trace.message = stop.message;
    trace.signal = 0; // a tracer that dies withholds it
    trace.is_listening = false;
    trace.is_stopped = trace.is_reportable = true;
    self.state.store(core::ThreadState::Traced, std::memory_order_seq_cst);
    return true;
}

void tell_tracer_locked(Thread& self, const Stop& stop) {
    Process& tracer = self.trace.tracer->process();
    const SignalAction action = child_action(tracer);
    const int code = stop.kind == TraceStop::Group ? abi::CLD_STOPPED : abi::CLD_TRAPPED;
    if (action.handler != abi::SIG_IGN && !(action.flags & abi::SA_NOCLDSTOP))
        send_signal(tracer, child_info(self.process(), self.tid(), code, stop.code & 0x7f));
    tracer.child_events.wake_all();
}

/// The signal to go on with.
int sleep_until_released(Thread& self) {
    Process& process = self.process();
    for (;;) {
        core::schedule();
        core::InterruptSpinGuard guard(process.signal_lock);
        if (!self.trace.is_stopped) {
            self.state.store(core::ThreadState::Running, std::memory_order_relaxed);
            self.trace.info = nullptr;
            recalculate_locked(self);
            return std::exchange(self.trace.signal, 0);
        }
        self.state.store(core::ThreadState::Traced, std::memory_order_seq_cst);
    }
}

int stop_and_wait(Thread& self, const Stop& stop) {
    self.registers.save_extended_state(); // so that memory is the truth for whoever looks
    {
        core::InterruptSpinGuard tree(tree_lock);
        if (!self.trace.tracer || !begin_stop_locked(self, stop)) return stop.signal;
        tell_tracer_locked(self, stop);
    }
    return sleep_until_released(self);
}

abi::siginfo_t info_of_trap(Thread& self, int signal, int code) {
    abi::siginfo_t info{};
    info.si_signo = signal;
    info.si_code = code;
    info.kill.pid = self.tid();
    info.kill.uid = self.own_credentials().uid;
    return info;
}

void stop_at_call(Thread& self, TraceStop kind) {
    const int code = abi::SIGTRAP | ((self.trace.options & abi::PTRACE_O_TRACESYSGOOD) ? 0x80 : 0);
    abi::siginfo_t info = info_of_trap(self, abi::SIGTRAP, code);
    const u64 message = kind == TraceStop::CallEntry ? abi::PTRACE_SYSCALL_INFO_ENTRY : abi::PTRACE_SYSCALL_INFO_EXIT;
    const int signal = stop_and_wait(self, {.kind = kind, .code = code, .info = &info, .message = message});
    if (signal != 0) send_kernel_signal(self, signal);
}

} // namespace

void change_signal_locked(Thread& tracer, Thread& tracee, int signal) {
    TraceState& trace = tracee.trace;
    trace.signal = signal;
    if (trace.stop != TraceStop::Signal || signal == 0 || !trace.info || trace.info->si_signo == signal) return;
    *trace.info = {};
    trace.info->si_signo = signal;
    trace.info->si_code = abi::SI_USER;
    trace.info->kill.pid = tracer.tid();
    trace.info->kill.uid = tracer.own_credentials().uid;
}

} // namespace ptrace_detail

using namespace ptrace_detail;

void end_trace_stop_locked(Thread& tracee) {
    if (!tracee.trace.is_stopped) return;
    tracee.trace.is_stopped = tracee.trace.is_reportable = tracee.trace.is_listening = false;
    core::wake_thread(tracee, core::state_bit(core::ThreadState::Traced));
}

bool stop_for_signal(Thread& self, abi::siginfo_t& info) {
    const int signal =
        stop_and_wait(self, {.kind = TraceStop::Signal, .code = info.si_signo, .info = &info, .signal = info.si_signo});
    if (signal == 0) return false;
    info.si_signo = signal;
    if (!self.signals.blocked.has(signal)) return true;
    // The tracer has blocked it meanwhile.
    core::InterruptSpinGuard guard(self.process().signal_lock);
    (void)enqueue_locked(self.process(), &self, info);
    return false;
}

bool wants_event(const Thread& self, int event) { return self.trace.tracer && (self.trace.options & (1u << event)); }

void stop_for_event(Thread& self, int event, u64 message) {
    if (!wants_event(self, event)) return;
    const int code = abi::SIGTRAP | event << 8;
    abi::siginfo_t info = info_of_trap(self, abi::SIGTRAP, code);
    (void)stop_and_wait(self, {.kind = TraceStop::Event,
                               .code = code,
                               .info = &info,
                               .message = message,
                               .is_death = event == abi::PTRACE_EVENT_EXIT});
}

void stop_after_exec(Thread& self, Pid old_tid) {
    if (!self.trace.tracer) return;
    if (wants_event(self, abi::PTRACE_EVENT_EXEC))
        stop_for_event(self, abi::PTRACE_EVENT_EXEC, static_cast<u64>(old_tid));
    else if (!self.trace.is_seized)
        send_signal(self, user_signal_info(abi::SIGTRAP, abi::SI_USER));
}

void stop_in_group(Thread& self, int signal) {
    if (!self.trace.is_seized) {
        (void)stop_and_wait(self, {.kind = TraceStop::Group, .code = signal, .info = nullptr});
        return;
    }
    const int number = signal ? signal : abi::SIGTRAP;
    const int code = number | abi::PTRACE_EVENT_STOP << 8;
    abi::siginfo_t info = info_of_trap(self, number, code);
    (void)stop_and_wait(self, {.kind = TraceStop::Group, .code = code, .info = &info});
}

bool stop_at_call_entry(Thread& self) {
    const TraceUntil until = self.trace.until;
    const bool is_emulated = until == TraceUntil::EmulatedCall || until == TraceUntil::EmulatedCallOrStep;
    if (!self.trace.tracer || (until != TraceUntil::Call && !is_emulated)) return true;
    self.registers.announce_syscall();
    stop_at_call(self, TraceStop::CallEntry);
    if (self.pending_work.load(std::memory_order_relaxed) & core::work_exit) return false;
    return !is_emulated && self.registers.syscall_number() != -1;
}

void stop_at_call_exit(Thread& self) {
    if (!self.trace.tracer) return;
    if (self.trace.until == TraceUntil::Call)
        stop_at_call(self, TraceStop::CallExit);
    else if (self.trace.until == TraceUntil::Step || self.trace.until == TraceUntil::EmulatedCallOrStep)
        force_signal(self, abi::SIGTRAP, abi::TRAP_TRACE, self.registers.pc()); // the instruction was the call
}

} // namespace linnet::process
