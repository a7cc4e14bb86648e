// Which places are probed, and the breakpoints there.
#include "user_probe.hpp"

#include <core/sched.hpp>
#include <cstring>
#include <new>

namespace linnet::probe {

using mm::CodePatch;

namespace {

constexpr usize table_size = 64;
constinit core::LockClass changes_class("changes of probes"), table_class("table of probes"),
    clients_class("clients of a probe");
constinit core::Mutex changes_lock(changes_class);
constinit core::SpinLock table_lock(table_class);
/// Probes by place; changed with both locks, so either is enough to read it. Each is a reference.
constinit IntrusiveList<UserProbe, &UserProbe::table_node> table[table_size];
constinit std::atomic<u64> next_id{1}, generation{0};

IntrusiveList<UserProbe, &UserProbe::table_node>& bucket_of(const mm::VmObject* object, u64 offset) {
    const u64 hash = (reinterpret_cast<u64>(object) / 64 + offset) * 0x9e37'79b9'7f4a'7c15;
    return table[hash >> 58];
}
static_assert(table_size == 64);

/// References to address spaces, given up when no lock is held: with the last one mappings go, and with them files.
using Spaces = ArrayList<RefPtr<mm::AddressSpace>>;

/// Appends everybody who maps the object. ENOMEM.
Result<void> append_spaces(Spaces& spaces, mm::VmObject& object) {
    for (;;) {
        const usize before = spaces.size();
        const usize room = before + object.mapping_count() + 8;
        TRY(spaces.try_reserve(room));
        bool fits = true;
        const mm::AddressSpace* last = nullptr;
        object.for_each_mapping([&](mm::ObjectMapping& mapping) {
            mm::AddressSpace* space = static_cast<mm::Vma&>(mapping).space;
            fits &= spaces.size() < room;
            if (!fits || space == last || !space->try_ref()) return;
            last = space;
            MUST(spaces.try_push(adopt_ref(*space))); // there is room
        });
        if (fits) return {};
    }
}

CodePatch patch_of(const UserProbe& probe, CodePatch::Purpose purpose) {
    CodePatch patch{.object = *probe.object,
                    .offset = probe.offset,
                    .from = probe.original,
                    .to = arch::probe_breakpoint,
                    .purpose = purpose};
    if (purpose == CodePatch::Purpose::Remove) std::swap(patch.from, patch.to);
    return patch;
}

/// Writes or takes away its breakpoints, until there is nobody left who is to be changed: a child that is forked
/// meanwhile is as its parent was then.
Result<void> patch_everywhere(const UserProbe& probe, CodePatch::Purpose purpose, Spaces& spaces) {
    const CodePatch patch = patch_of(probe, purpose);
    for (bool has_changed = true; has_changed;) {
        has_changed = false;
        const usize first = spaces.size();
        TRY(append_spaces(spaces, *probe.object));
        for (usize i = first; i < spaces.size(); ++i) has_changed |= TRY(spaces[i]->patch_code(patch));
    }
    core::synchronise_all_instruction_streams();
    return {};
}

void enter_table(UserProbe& probe) {
    probe.ref();
    {
        core::SpinGuard guard(table_lock);
        bucket_of(probe.object.get(), probe.offset).push_back(probe);
    }
    generation.fetch_add(1);
    process::had_user_probes.store(true);
    if (!probe.object->is_probed.exchange(true)) mm::probed_objects.fetch_add(1);
}

bool has_probes(const mm::VmObject& object) {
    for (usize i = 0; i < table_size; ++i)
        for (UserProbe& probe : table[i])
            if (probe.object.get() == &object) return true;
    return false;
}

/// Its breakpoints are gone.
void leave_table(UserProbe& probe) {
    {
        core::SpinGuard guard(table_lock);
        probe.table_node.unlink();
    }
    generation.fetch_add(1);
    if (!has_probes(*probe.object) && probe.object->is_probed.exchange(false)) mm::probed_objects.fetch_sub(1);
    probe.unref(); // the caller has another
}

/// What the file has there.
Result<usize> read_text(mm::VmObject& object, u64 offset, std::span<u8> to) {
    const u64 size = object.size();
    const usize wanted = std::min<u64>(to.size(), size > offset ? size - offset : 0);
    for (usize done = 0; done < wanted;) {
        const u64 at = offset + done;
        const usize within = at & (arch::page_size - 1), part = std::min(wanted - done, arch::page_size - within);
        mm::PageRef page = TRY(object.get_page(at >> arch::page_shift, arch::Access::Read));
        std::memcpy(to.data() + done, static_cast<const u8*>(page.data()) + within, part);
        done += part;
    }
    return wanted;
}

Result<RefPtr<UserProbe>> make_probe(mm::VmObject& object, u64 offset) {
    u8 text[arch::longest_instruction] = {};
    const usize length = TRY(read_text(object, offset, text));
    const arch::ProbedInstruction instruction = TRY(arch::decode_probed(std::span<const u8>(text).first(length)));
    auto* made = new (std::nothrow) UserProbe(object, offset, instruction, text);
    if (!made) return error(Errno::ENOMEM);
    return adopt_ref(*made);
}

void attach(UserProbe& probe, UserProbeClient& client) {
    core::WriteGuard guard(probe.clients_lock);
    probe.clients.push_back(client);
    client.probe = &probe;
    probe.wants_returns |= client.wants == UserProbeClient::Wants::Returns;
}

/// Whether others are left.
bool detach(UserProbe& probe, UserProbeClient& client) {
    core::WriteGuard guard(probe.clients_lock);
    client.node.unlink();
    probe.wants_returns = false;
    for (const UserProbeClient& other : probe.clients)
        probe.wants_returns |= other.wants == UserProbeClient::Wants::Returns;
    return !probe.clients.is_empty();
}

/// Nobody wants it any more. Without memory the breakpoints stay, and are passed over until somebody does.
void retire(UserProbe& probe, Spaces& spaces) {
    if (patch_everywhere(probe, CodePatch::Purpose::Remove, spaces)) leave_table(probe);
}

class Planter final : public mm::CodeProbes {
public:
    void on_mapped(mm::AddressSpace& space, const mm::VmObject& object) override { plant(space, &object); }
    void on_changed(mm::AddressSpace& space) override { plant(space, nullptr); }

private:
    /// What can't be planted for lack of memory is missed, as on Linux.
    static void plant(mm::AddressSpace& space, const mm::VmObject* object) {
        core::MutexGuard guard(changes_lock);
        bool has_changed = false;
        for (usize i = 0; i < table_size; ++i)
            for (UserProbe& probe : table[i])
                if (!object || probe.object.get() == object)
                    has_changed |= space.patch_code(patch_of(probe, CodePatch::Purpose::Plant)).value_or(false);
        if (has_changed) core::synchronise_all_instruction_streams();
    }
};
constinit Planter planter;

} // namespace

UserProbe::UserProbe(mm::VmObject& whose, u64 where, const arch::ProbedInstruction& what, std::span<const u8> text)
    : id(next_id.fetch_add(1, std::memory_order_relaxed)), object(whose), offset(where), instruction(what),
      clients_lock(clients_class) {
    std::memcpy(original, text.data(), sizeof original);
}

NullableRefPtr<UserProbe> find_user_probe(const mm::VmObject* object, u64 offset) {
    if (!object) return {};
    core::SpinGuard guard(table_lock);
    for (UserProbe& probe : bucket_of(object, offset))
        if (probe.object.get() == object && probe.offset == offset) return NullableRefPtr<UserProbe>(&probe);
    return {};
}

void initialise_planting() { mm::code_probes = &planter; }

u64 user_probe_generation() { return generation.load(); }

Result<void> add_user_probe(UserProbeClient& client, mm::VmObject& object, u64 offset) {
    if (offset >= object.size() || offset % arch::probe_alignment != 0) return error(Errno::EINVAL);
    Spaces spaces;
    core::MutexGuard guard(changes_lock);
    NullableRefPtr<UserProbe> probe = find_user_probe(&object, offset);
    const bool is_new = !probe;
    if (is_new) probe = TRY(make_probe(object, offset));
    const bool is_planted = !probe->clients.is_empty(); // else it is one that could not be taken away
    attach(*probe, client);
    if (is_planted) return {};
    if (is_new) enter_table(*probe);
    Result<void> planted = patch_everywhere(*probe, CodePatch::Purpose::Plant, spaces);
    if (planted) return {};
    (void)detach(*probe, client);
    client.probe = nullptr;
    retire(*probe, spaces);
    return planted;
}

void remove_user_probe(UserProbeClient& client) {
    if (!client.probe) return;
    Spaces spaces;
    RefPtr<UserProbe> probe(*client.probe);
    core::MutexGuard guard(changes_lock);
    if (!detach(*probe, client)) retire(*probe, spaces);
    client.probe = nullptr;
}

} // namespace linnet::probe
