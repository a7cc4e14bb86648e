// The CPUs, the boot thread, kernel threads and the checks of context.
#include <boot/boot_info.hpp>
#include <core/hooks.hpp>
#include <core/panic.hpp>
#include <core/sched.hpp>
#include <core/thread.hpp>
#include <lib/hit_way.hpp>
#include <new>

namespace linnet::core {
namespace {

class BootThread final : public Thread {
public:
    std::string_view name() const override { return "boot"; }
};

constinit BootThread boot_thread;
constinit Cpu cpus[boot::BootInfo::max_cpus];
constinit u32 known_cpus = 1;
constinit std::atomic<u64> online{0};

class KernelThread final : public Thread {
public:
    KernelThread(const char* name, void (*function)(void*), void* context)
        : name_(name), function_(function), context_(context) {}
    RECORD_WAY_BEGINS std::string_view name() const override { return name_; }
    void run() override {
        function_(context_);
        exit_current();
    }
    void on_final_switch() override {
        hooks::free_kernel_stack(kernel_stack_top);
        delete this;
    }

private:
    const char* name_;
    void (*function_)(void*);
    void* context_;
};

} // namespace

Cpu& cpu(u32 number) { return cpus[number]; }
u32 cpu_count() { return known_cpus; }

u64 online_cpus() { return online.load(std::memory_order_relaxed); }

void set_online(Cpu& cpu) {
    online.fetch_or(u64{1} << cpu.number);
    cpu.online.store(true, std::memory_order_release);
}

void set_cpu_count(u32 count) {
    known_cpus = count;
    for (u32 i = 0; i < count; ++i) cpus[i].number = i;
}

Result<Thread*> create_kernel_thread(const char* name, void (*function)(void*), void* context) {
    auto* thread = new (std::nothrow) KernelThread(name, function, context);
    if (!thread) return error(Errno::ENOMEM);
    Result<uintptr_t> stack = hooks::allocate_kernel_stack();
    if (!stack) {
        delete thread;
        return error(stack.error());
    }
    thread->kernel_stack_top = *stack;
    arch::prepare_context(*thread);
    return thread;
}

Result<Thread*> start_kernel_thread(const char* name, void (*function)(void*), void* context) {
    Thread* thread = TRY(create_kernel_thread(name, function, context));
    start_thread(*thread);
    return thread;
}

bool may_sleep() {
    return arch::current_thread()->preempt_count == 0 && arch::interrupts_enabled() && this_cpu().interrupt_depth == 0;
}

#ifdef LINNET_DEBUG
void assert_may_sleep(const char* file, int line) {
    if (!may_sleep() && !is_panicking())
        panic("{}:{}: sleeping where that is not allowed", std::string_view(file), line);
}
#endif

} // namespace linnet::core

namespace linnet::arch {
ThreadHeader& boot_thread_header() { return core::boot_thread; }
CpuHeader& boot_cpu_header() { return core::cpus[0]; }
} // namespace linnet::arch
