// Probes as events, and where sysfs tells of them.
#include "perf_probe.hpp"

#include <mm/usercopy.hpp>
#include <new>
#include <process/process.hpp>
#include <trace/perf_event.hpp>
#include <vfs/credentials.hpp>
#include <vfs/lookup.hpp>

#include "perf_event.hpp"
#include "perf_moment.hpp"

namespace linnet::trace {

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

} // namespace

Result<RefPtr<PerfProbe>> PerfProbe::create(const abi::perf_event_attr& attributes) {
    const vfs::Credentials& who = process::current().own_credentials();
    if (!who.has(vfs::Capability::Perfmon) && !who.has(vfs::Capability::SysAdmin)) return error(Errno::EACCES);
    constexpr unsigned counter_of_users_shift = 32; // a word that is to be raised while the probe is there
    if (attributes.config >> counter_of_users_shift) return error(Errno::EINVAL);
    RefPtr<mm::VmObject> text = TRY(find_text({attributes.config1}));
    auto* made = new (std::nothrow) PerfProbe((attributes.config & config_is_return) ? Wants::Returns : Wants::Entries);
    if (!made) return error(Errno::ENOMEM);
    RefPtr<PerfProbe> probe = adopt_ref(*made);
    TRY(probe::add_user_probe(*probe, *text, attributes.config2));
    return probe;
}

PerfProbe::~PerfProbe() { probe::remove_user_probe(*this); }

void PerfProbe::on_entry(VirtAddr) { deliver(); }
void PerfProbe::on_return(VirtAddr) { deliver(); }

void PerfProbe::deliver() {
    const auto state = arch::save_and_disable_interrupts();
    const Moment moment = Moment::of_user_code();
    for (PerfContext* context : {PerfContext::find(moment.thread), PerfContext::find_cpu(core::this_cpu().number)}) {
        if (!context) continue;
        core::InterruptSpinGuard guard(context->lock);
        for (PerfEvent& event : context->events)
            if (event.probe.get() == this) event.hit_guarded(moment);
    }
    arch::restore_interrupts(state);
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
    RefPtr<vfs::pseudo::Directory> uprobe = TRY(add_device(sys, "uprobe", show_type<uprobe_type>));
    RefPtr<vfs::pseudo::Directory> format = TRY(uprobe->add_directory("format"));
    return format->add_text("retprobe", show_return_bit);
}

} // namespace linnet::trace
