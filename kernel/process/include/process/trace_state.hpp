// What a thread knows of being traced (ptrace(2)).
//
// `tracer`, `options` and `is_seized` change under tree_lock and the tracee's signal_lock, everything else under the
// latter; so either lock is enough to read the first three.
#pragma once

#include <abi/linux/signal.hpp>
#include <lib/types.hpp>

namespace linnet::process {

class Thread;

/// What the tracer was told that a tracee stopped for.
enum class TraceStop : u8 { Signal, CallEntry, CallExit, Event, Group };
/// Until where it goes when the tracer lets it.
enum class TraceUntil : u8 { NextStop, Call, Step, EmulatedCall, EmulatedCallOrStep };

struct TraceState {
    Thread* tracer = nullptr;
    u32 options = 0;
    bool is_seized = false;
    bool must_trap = false;     // it stops at its loop's edge: asked to, or the state of its group stop has changed
    bool is_stopped = false;    // in a ptrace-stop: the tracer may ask for anything
    bool is_reportable = false; // a stop that wait4(2) has not told of
    bool is_awaited = false;    // dead, and counted among the process's awaited_threads
    bool is_listening = false;  // PTRACE_LISTEN: stopped, but not for requests
    TraceStop stop = TraceStop::Signal;
    TraceUntil until = TraceUntil::NextStop;
    int code = 0;                   // of the stop: signal, event << 8
    int signal = 0;                 // that it goes on with
    u64 message = 0;                // PTRACE_GETEVENTMSG
    abi::siginfo_t* info = nullptr; // while stopped; null in a group stop
};

} // namespace linnet::process
