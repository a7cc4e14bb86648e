// Probes as events, and where sysfs tells of them.
#include "perf_probe.hpp"

#include <mm/usercopy.hpp>
#include <new>
#include <probe/kernel_probe.hpp>
#include <process/process.hpp>
#include <trace/perf_event.hpp>
#include <vfs/credentials.hpp>
#include <vfs/lookup.hpp>

#include "perf_event.hpp"
#include "perf_moment.hpp"
#include "recording.hpp"

namespace linnet::trace {

using probe::KernelProbeClient;
using probe::UserProbeClient;

namespace {

constexpr u64 config_is_return = 1;

/// The regular file of that name. The pages are the inode's: they stay as long as somebody has them.
Result<RefPtr<mm::VmObject>> find_text(VirtAddr name) {
    if (name.value == 0) return error(Errno::EINVAL);
    const auto text = mm::UserString(name).copy_in();
    if (!text) return error(text.error() == Errno::ENAMETOOLONG ? Errno::E2BIG : text.error());
    if (text->is_empty()) return error(Errno::EINVAL);
    const vfs::Path found = TRY(vfs::lookup(text->view()));
    vfs::Inode& inode = *found.inode();
    mm::VmObject* pages = inode.is_regular() ? inode.pages() : nullptr;
    if (!pages) return error(Errno::EINVAL);
    return RefPtr<mm::VmObject>(*pages);
}

class PerfUserProbe final : public PerfProbe, private UserProbeClient {
public:
    explicit PerfUserProbe(Wants what) : UserProbeClient(what, Telling::Stays) {}
    ~PerfUserProbe() override { probe::remove_user_probe(*this); }
    Result<void> begin(const abi::perf_event_attr& attributes) {
        constexpr unsigned counter_of_users_shift = 32; // a word that is to be raised while the probe is there
        if (attributes.config >> counter_of_users_shift) return error(Errno::EINVAL);
        RefPtr<mm::VmObject> text = TRY(find_text({attributes.config1}));
        return probe::add_user_probe(*this, *text, attributes.config2);
    }

private:
    void on_entry(VirtAddr) override { tell(); }
    void on_return(VirtAddr) override { tell(); }
    void tell() {
        const auto state = arch::save_and_disable_interrupts();
        deliver(Moment::of_user_code());
        arch::restore_interrupts(state);
    }
};

class PerfKernelProbe final : public PerfProbe, private KernelProbeClient {
public:
    explicit PerfKernelProbe(Wants what) : KernelProbeClient(what) {}
    ~PerfKernelProbe() override { probe::remove_kernel_probe(*this); }
    /// A function by its name and an offset in it, or an address.
    Result<void> begin(const abi::perf_event_attr& attributes) {
        u64 address = attributes.config2;
        if (attributes.config1) {
            const auto name = mm::UserString({attributes.config1}).copy_in(longest_symbol);
            if (!name) return error(name.error() == Errno::ENAMETOOLONG ? Errno::E2BIG : name.error());
            if (!name->is_empty()) {
                const u64 function = probe::find_kernel_function(name->view());
                if (function == 0) return error(Errno::ENOENT);
                if (address > ~u64{0} - function) return error(Errno::EINVAL);
                address += function;
            }
        }
        return probe::add_kernel_probe(*this, address);
    }

private:
    static constexpr usize longest_symbol = 512; // KSYM_NAME_LEN

    /// What a sample says of the hit.
    struct Record {
        RecordHead head;
        u64 addresses[2];
    };
    bool on_hit(arch::ProbeRegisters registers) override {
        return tell(registers, {.head = {}, .addresses = {registers.pc(), 0}}, 1);
    }
    bool on_return(arch::ProbeRegisters registers, u64 function, u64 caller) override {
        return tell(registers, {.head = {}, .addresses = {function, caller}}, 2);
    }
    bool tell(arch::ProbeRegisters registers, const Record& record, usize addresses) {
        if (is_recording_here()) return false;
        deliver({.thread = core::current_thread(),
                 .in_kernel = true,
                 .pc = registers.pc(),
                 .frame = arch::frame_pointer(registers),
                 .raw = {reinterpret_cast<const u8*>(&record), sizeof record.head + addresses * sizeof(u64)}});
        return true;
    }
};

template <typename Probe, typename Client>
Result<RefPtr<PerfProbe>> make(const abi::perf_event_attr& attributes) {
    using Wants = typename Client::Wants;
    auto* made = new (std::nothrow) Probe((attributes.config & config_is_return) ? Wants::Returns : Wants::Entries);
    if (!made) return error(Errno::ENOMEM);
    RefPtr<PerfProbe> probe = adopt_ref(static_cast<PerfProbe&>(*made));
    TRY(made->begin(attributes));
    return probe;
}

} // namespace

Result<RefPtr<PerfProbe>> PerfProbe::create(const abi::perf_event_attr& attributes) {
    const vfs::Credentials& who = process::current().own_credentials();
    if (!who.has(vfs::Capability::Perfmon) && !who.has(vfs::Capability::SysAdmin)) return error(Errno::EACCES);
    if (attributes.type == uprobe_type) return make<PerfUserProbe, UserProbeClient>(attributes);
    return make<PerfKernelProbe, KernelProbeClient>(attributes);
}

void PerfProbe::deliver(const Moment& moment) {
    for (PerfContext* context : {PerfContext::find(moment.thread), PerfContext::find_cpu(core::this_cpu().number)}) {
        if (!context) continue;
        RecordingGuardWithin guard(context->lock);
        for (PerfEvent& event : context->events)
            if (event.probe.get() == this) event.hit_guarded(moment);
    }
}

namespace {

template <u32 Type>
Result<void> show_type(TextSink sink) {
    return format_to(sink, "{}\n", Type), Result<void>{};
}
Result<void> show_return_bit(TextSink sink) { return sink("config:0\n"), Result<void>{}; }

/// devices/NAME with its type, and a link to it among the sources of events.
Result<RefPtr<vfs::pseudo::Directory>> add_device(vfs::pseudo::Directory& sys, std::string_view name,
                                                  vfs::pseudo::Show type) {
    RefPtr<vfs::pseudo::Directory> bus = TRY(sys.add_path("bus/event_source/devices"));
    RefPtr<vfs::pseudo::Directory> devices = TRY(sys.add_path("devices"));
    RefPtr<vfs::pseudo::Directory> device = TRY(devices->add_directory(name));
    TRY(device->add_text("type", type));
    TRY(device->add_symlink("subsystem", "../../bus/event_source"));
    char target[64];
    TRY(bus->add_symlink(name, format_into(target, "../../../devices/{}", name)));
    return device;
}

} // namespace

Result<void> register_perf_devices(vfs::pseudo::Directory& sys) {
    TRY(add_device(sys, "software", show_type<abi::PERF_TYPE_SOFTWARE>));
    const auto add_probe = [&](std::string_view name, vfs::pseudo::Show type) -> Result<void> {
        RefPtr<vfs::pseudo::Directory> device = TRY(add_device(sys, name, type));
        RefPtr<vfs::pseudo::Directory> format = TRY(device->add_directory("format"));
        return format->add_text("retprobe", show_return_bit);
    };
    TRY(add_probe("kprobe", show_type<kprobe_type>));
    return add_probe("uprobe", show_type<uprobe_type>);
}

} // namespace linnet::trace
