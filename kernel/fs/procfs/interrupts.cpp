// /proc/interrupts and /proc/softirqs (proc(5)): how often each CPU was interrupted, and by what.
//
// Nothing is put off from an interrupt to a later moment here. What Linux counts as softirqs of timers and of the
// scheduler's balancing is done within the timer's interrupt, and counted where it is; the others don't exist.
#include <core/irq.hpp>
#include <core/thread.hpp>

#include "procfs.hpp"

namespace linnet::fs {
namespace {

template <typename Visit>
void for_each_online_cpu(Visit visit) {
    for (u32 i = 0; i < core::cpu_count(); ++i)
        if (core::cpu(i).online.load()) visit(core::cpu(i));
}

void show_header(TextSink sink, std::string_view indentation) {
    sink(indentation);
    for_each_online_cpu([&](const core::Cpu& cpu) {
        char digits[12];
        format_to(sink, "CPU{-8}", format_into(digits, "{}", cpu.number));
    });
    sink("\n");
}

void show_device_line(TextSink sink, core::Irq irq) {
    bool is_first = true;
    core::for_each_irq_user(irq, [&](const core::IrqUser& user) {
        if (is_first) {
            format_to(sink, "{3}: ", irq);
            for_each_online_cpu([&](const core::Cpu& cpu) { format_to(sink, "{10} ", core::irq_count(cpu, irq)); });
            const bool is_edge = user.trigger == core::Trigger::Edge;
            format_to(sink, "  {} {4} {-8}", user.controller, irq, is_edge ? "Edge" : "Level");
        }
        format_to(sink, is_first ? "  {}" : ", {}", user.name);
        is_first = false;
    });
    if (!is_first) sink("\n");
}

void show_cpu_line(TextSink sink, std::string_view label, u64 core::InterruptCounts::* count, std::string_view text) {
    format_to(sink, "{}: ", label);
    for_each_online_cpu([&](const core::Cpu& cpu) { format_to(sink, "{10} ", cpu.interrupts.*count); });
    format_to(sink, "  {}\n", text);
}

Result<void> show_interrupts(TextSink sink) {
    show_header(sink, "           ");
    for (core::Irq irq = 0; irq < core::max_irqs; ++irq) show_device_line(sink, irq);
    show_cpu_line(sink, "LOC", &core::InterruptCounts::timer, "Local timer interrupts");
    show_cpu_line(sink, "RES", &core::InterruptCounts::reschedules, "Rescheduling interrupts");
    show_cpu_line(sink, "CAL", &core::InterruptCounts::calls, "Function call interrupts");
    return {};
}

void show_softirq(TextSink sink, std::string_view label, u64 core::InterruptCounts::* count) {
    sink(label);
    for_each_online_cpu([&](const core::Cpu& cpu) { format_to(sink, " {10}", cpu.interrupts.*count); });
    sink("\n");
}

Result<void> show_softirqs(TextSink sink) {
    show_header(sink, "                    ");
    show_softirq(sink, "       SCHED:", &core::InterruptCounts::balances);
    show_softirq(sink, "     HRTIMER:", &core::InterruptCounts::expiries);
    return {};
}

} // namespace

Result<void> add_interrupt_files(vfs::pseudo::Directory& root) {
    TRY(root.add_text("interrupts", show_interrupts));
    return root.add_text("softirqs", show_softirqs);
}

} // namespace linnet::fs
