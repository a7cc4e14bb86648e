// Which places of the kernel are probed: finding out whether they can be, and planting and taking away breakpoints.
#include "kernel_probe.hpp"

#include <core/mutex.hpp>
#include <core/panic.hpp>
#include <cstring>
#include <lib/array_list.hpp>
#include <lib/own_ptr.hpp>
#include <new>

// By the linker's script: the code that may be probed, and the room for slots behind it.
extern "C" const char kernel_probes_begin[], kernel_probes_end[];

/// What is executed out of line is kept in the kernel's text, so that calls and jumps reach from there as far as from
/// anywhere, and nobody can write it.
asm(R"(
    .pushsection .kernel_probe_slots, "ax"
    .balign 4096
    .globl kernel_probe_slots
    .type kernel_probe_slots, STT_OBJECT
kernel_probe_slots:
    .skip 65536
    .popsection
)");

namespace linnet::probe {

namespace {

constexpr usize slot_count = 65536 / arch::probe_slot_size;
constexpr u32 fewest_returns = 10, most_returns = 4096;

constinit core::LockClass changes_class("changes of kernel probes");
constinit u64 used_slots[slot_count / 64] = {};
constinit bool has_trampoline = false;
constinit ReturnSlots* orphans = nullptr; // whose client is gone

u64 slot_address(usize number) { return reinterpret_cast<u64>(kernel_probe_slots) + number * arch::probe_slot_size; }

/// Whether an instruction begins there, and not between a reservation and its end, where a trap would make a loop of
/// them endless.
Result<void> walk_to(u64 begin, u64 address) {
    bool is_reserved = false;
    u8 buffer[arch::longest_instruction] = {};
    for (u64 at = begin; at != address;) {
        const auto step = arch::text_step(original_text_locked(at, buffer));
        if (!step || at > address) return error(Errno::EILSEQ);
        if (step->reservation == arch::TextStep::Reservation::Begins) is_reserved = true;
        if (step->reservation == arch::TextStep::Reservation::Ends) is_reserved = false;
        at += step->length;
    }
    return is_reserved ? Result<void>(error(Errno::EINVAL)) : Result<void>{};
}

Result<void> check_place_locked(u64 address, KernelProbeClient::Wants wants) {
    const auto begin = reinterpret_cast<u64>(kernel_probes_begin), end = reinterpret_cast<u64>(kernel_probes_end);
    const core::Symbol symbol = core::find_symbol(address);
    if (symbol.name.empty()) return error(address == 0 ? Errno::EINVAL : Errno::ENOENT);
    if (address < begin || address >= end || symbol.is_on_hit_way) return error(Errno::EINVAL);
    if (wants == KernelProbeClient::Wants::Returns && symbol.offset != 0) return error(Errno::EINVAL);
    TRY(walk_to(address - symbol.offset, address));
    u8 buffer[arch::longest_instruction] = {};
    TRY(arch::decode_kernel_probed(original_text_locked(address, buffer)));
    return {};
}

/// Those of clients that are gone, and whose calls have returned since.
void free_orphans() {
    for (ReturnSlots** link = &orphans; *link;) {
        ReturnSlots& slots = **link;
        if (slots.in_use.load(std::memory_order_acquire) == 0) {
            *link = slots.next;
            // The last one that gave its slot back has left the lock, when hits are over.
            wait_for_kernel_hits();
            delete &slots;
        } else {
            link = &slots.next;
        }
    }
}

Result<void> prepare_returns(KernelProbeClient& client) {
    const u32 usual = std::max(fewest_returns, 2 * core::cpu_count());
    const u32 count = client.most_active ? std::min(client.most_active, most_returns) : usual;
    if (!arch::returns_without_trap && !has_trampoline)
        TRY(write_kernel_text(kernel_trampoline(), arch::probe_breakpoint));
    has_trampoline = true;
    client.returns = TRY(ReturnSlots::create(client, count));
    client.most_active = count;
    return {};
}

void drop_returns(KernelProbeClient& client) {
    ReturnSlots* slots = std::exchange(client.returns, nullptr);
    if (!slots) return;
    slots->client.store(nullptr, std::memory_order_release);
    wait_for_kernel_hits();
    slots->next = orphans;
    orphans = slots;
    free_orphans();
}

Result<KernelProbe*> make_probe(u64 address) {
    u8 buffer[arch::longest_instruction] = {};
    const std::span<const u8> text = original_text_locked(address, buffer);
    ProbedCode code{.instruction = TRY(arch::decode_kernel_probed(text)), .slot = TRY(take_slot_locked())};
    std::memcpy(code.original, text.data(), sizeof code.original);
    auto* made = new (std::nothrow) KernelProbe(address, code);
    Result<void> written =
        made ? write_kernel_text(code.slot, std::span(made->code.instruction.slot, made->code.instruction.slot_length))
             : Result<void>(error(Errno::ENOMEM));
    if (!written) {
        delete made;
        give_slot_back_locked(code.slot);
        return error(written.error());
    }
    return made;
}

void enter(KernelProbe& probe) {
    auto& bucket = kernel_probe_bucket(probe.address);
    probe.next.store(bucket.load(std::memory_order_relaxed), std::memory_order_relaxed);
    bucket.store(&probe, std::memory_order_release);
}

/// Its breakpoint is gone.
void retire(KernelProbe& probe) {
    std::atomic<KernelProbe*>* link = &kernel_probe_bucket(probe.address);
    while (link->load(std::memory_order_relaxed) != &probe) link = &link->load(std::memory_order_relaxed)->next;
    link->store(probe.next.load(std::memory_order_relaxed), std::memory_order_release);
    wait_for_kernel_hits();
    give_slot_back_locked(probe.code.slot);
    delete &probe;
}

void detach(KernelProbe& probe, KernelProbeClient& client) {
    std::atomic<KernelProbeClient*>* link = &probe.clients;
    while (link->load(std::memory_order_relaxed) != &client) link = &link->load(std::memory_order_relaxed)->next;
    link->store(client.next.load(std::memory_order_relaxed), std::memory_order_release);
    client.probe = nullptr;
    wait_for_kernel_hits();
}

/// Without memory the breakpoint stays, with nobody to tell, until somebody wants it again.
void drop_if_unwanted(KernelProbe& probe) {
    if (probe.clients.load(std::memory_order_relaxed)) return;
    const bool stays = find_planted_entry(probe.address) != nullptr;
    if (stays || write_kernel_text(probe.address, probe.code.original)) retire(probe);
}

Result<void> plant(KernelProbeClient& client, u64 address) {
    KernelProbe* probe = find_probe_locked(address);
    const bool is_new = !probe;
    if (is_new) probe = TRY(make_probe(address));
    client.next.store(probe->clients.load(std::memory_order_relaxed), std::memory_order_relaxed);
    client.probe = probe;
    probe->clients.store(&client, std::memory_order_release);
    if (!is_new) return {};
    enter(*probe);
    Result<void> written = write_kernel_text(address, arch::probe_breakpoint);
    if (written) return {};
    detach(*probe, client);
    retire(*probe);
    return written;
}

} // namespace

constinit core::Mutex kernel_probes_lock(changes_class);

Result<u64> take_slot_locked() {
    for (usize i = 0; i < std::size(used_slots); ++i) {
        if (i == 0) used_slots[0] |= 1; // the trampoline
        if (used_slots[i] == ~u64{0}) continue;
        const auto bit = static_cast<usize>(std::countr_one(used_slots[i]));
        used_slots[i] |= u64{1} << bit;
        return slot_address(i * 64 + bit);
    }
    return error(Errno::ENOSPC);
}

void give_slot_back_locked(u64 slot) {
    const usize number = (slot - slot_address(0)) / arch::probe_slot_size;
    used_slots[number / 64] &= ~(u64{1} << number % 64);
}

KernelProbe* find_probe_locked(u64 address) {
    KernelProbe* probe = kernel_probe_bucket(address).load(std::memory_order_relaxed);
    while (probe && probe->address != address) probe = probe->next.load(std::memory_order_relaxed);
    return probe;
}

std::span<const u8> original_text_locked(u64 address, std::span<u8, arch::longest_instruction> buffer) {
    const u64 end = core::kernel_text().end;
    const usize size = std::min<u64>(end - address, arch::longest_instruction);
    std::memcpy(buffer.data(), reinterpret_cast<const u8*>(address), size);
    const ProbedCode* code = nullptr;
    if (const KernelProbe* probe = find_probe_locked(address))
        code = &probe->code;
    else if (const FunctionEntry* entry = find_planted_entry(address))
        code = &function_codes[entry->code];
    if (code) std::memcpy(buffer.data(), code->original, sizeof code->original);
    return buffer.first(size);
}

Result<void> check_kernel_place(u64 address, KernelProbeClient::Wants wants) {
    core::MutexGuard guard(kernel_probes_lock);
    return check_place_locked(address, wants);
}

Result<void> add_kernel_probe(KernelProbeClient& client, u64 address) {
    core::MutexGuard guard(kernel_probes_lock);
    free_orphans();
    TRY(check_place_locked(address, client.wants));
    if (client.wants == KernelProbeClient::Wants::Returns) TRY(prepare_returns(client));
    Result<void> planted = plant(client, address);
    if (!planted) drop_returns(client);
    return planted;
}

void remove_kernel_probe(KernelProbeClient& client) {
    if (!client.probe) return;
    core::MutexGuard guard(kernel_probes_lock);
    KernelProbe& probe = *client.probe;
    detach(probe, client);
    drop_returns(client);
    drop_if_unwanted(probe);
}

u64 find_kernel_function(std::string_view name) {
    if (name.empty()) return 0;
    const auto is_it = [name](std::string_view symbol) {
        if (symbol.back() != name.back()) return false; // they begin alike, so most are told apart here
        usize at = 0;
        for (char c : symbol) {
            if (c == ' ') continue;
            if (at == name.size() || name[at] != c) return false;
            ++at;
        }
        return at == name.size();
    };
    // As /proc/kallsyms has it, too; perf counts from there.
    if (name == "_text" || name == "_stext") return core::kernel_text().begin;
    for (u64 number = 0;; ++number) {
        const core::Symbol symbol = core::symbol_at(number);
        if (symbol.name.empty()) return 0;
        if (is_it(symbol.name)) return core::kernel_text().begin + symbol.offset;
    }
}

} // namespace linnet::probe
