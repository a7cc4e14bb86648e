// The way of a hit: what a CPU executes between the trap of a probe of the kernel and the probe's clients, and from
// there back. A breakpoint there would trap again before the first one is known for what it is, without end. Which
// functions those are depends on what the compiler puts in line, so nobody names them: the build follows direct calls
// and jumps in the linked code (tools/build/code_paths.py), and marks them in the symbol table. Nothing marked can have
// a breakpoint.
//
// Likewise the way of a record, which the function tracer takes for each of its hits: breakpoints there would only be
// passed, and make every record dear.
#pragma once

/// Entries from assembly, and what is called through pointers on the way.
#define HIT_WAY_BEGINS [[gnu::noinline, gnu::section(".text.noprobe.begin")]]
/// What isn't done on account of a hit any more: panics, interrupts, other exceptions, switches to another thread.
#define HIT_WAY_ENDS [[gnu::noinline, gnu::section(".text.noprobe.end")]]
#define RECORD_WAY_BEGINS [[gnu::noinline, gnu::section(".text.recording")]]
