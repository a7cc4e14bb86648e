// Mounting an overlay: finding its layers, refusing those that can't go together, preparing the work directory.
#include "overlay_directory.hpp"
#include "upper_names.hpp"
#include "work_directory.hpp"

#include <abi/linux/fs.hpp>
#include <core/random.hpp>
#include <cstring>
#include <fs/overlay.hpp>
#include <vfs/lookup.hpp>

namespace linnet::overlay {

using vfs::Dentry;
using vfs::Path;

namespace {

constexpr u32 most_lower_layers = 500;
constexpr u32 deepest_stack = 2; // overlays on one another
constexpr std::string_view work_name = "work", incompatible_name = "incompat", volatile_name = "volatile";

/// Those that have an upper layer.
struct Mounted {
    core::Mutex lock;
    IntrusiveList<OverlaySuperBlock, &OverlaySuperBlock::list_node> list;
};
[[clang::no_destroy]] constinit Mounted mounted;

bool are_nested(const Dentry& one, const Dentry& other) {
    return one.is_same_or_below(other) || other.is_same_or_below(one);
}

} // namespace

/// One mount(2); the paths as they were found.
class OverlayMount {
public:
    OverlayMount(vfs::FileSystemType& type, const vfs::MountSource& source) : type_(type), source_(source) {}
    Result<RefPtr<OverlaySuperBlock>> make();

private:
    Result<void> find_layers();
    Result<Path> find_layer(const OverlayOptions::Text& path);
    Result<void> check_upper() const;
    Result<void> check_nesting() const;
    Result<void> check_depth();
    Result<void> add_layer(const Path& place, u64 flags);
    Result<void> add_file_system(Layer& layer);
    Result<void> claim_upper();
    Result<void> prepare_work();
    Result<void> choose_uuid();
    Result<void> set_limits();
    Result<void> make_root();

    vfs::FileSystemType& type_;
    const vfs::MountSource& source_;
    OverlayOptions options_;
    Path upper_, work_;
    ArrayList<Path> lowers_;
    NullableRefPtr<OverlaySuperBlock> overlay_;
    u32 depth_ = 0;
};

Result<Path> OverlayMount::find_layer(const OverlayOptions::Text& path) {
    Path found = TRY(vfs::lookup(std::string_view{path.begin(), path.size()}));
    if (!found.inode()->is_directory()) return error(Errno::EINVAL);
    return found;
}

Result<void> OverlayMount::find_layers() {
    if (!options_.upper.is_empty()) {
        const std::string_view upper(options_.upper.begin(), options_.upper.size());
        const std::string_view work(options_.work.begin(), options_.work.size());
        upper_ = TRY(find_layer(TRY(plain_path(upper))));
        work_ = TRY(find_layer(TRY(plain_path(work))));
        TRY(check_upper());
    }
    std::string_view list(options_.lower.begin(), options_.lower.size());
    while (!list.empty()) {
        if (lowers_.size() == most_lower_layers) return error(Errno::EINVAL);
        TRY(lowers_.try_push(TRY(find_layer(TRY(next_path(list))))));
    }
    if (upper_.is_empty() && lowers_.size() < 2) return error(Errno::EINVAL);
    return {};
}

/// What the upper layer lies on must keep what is noted there, and change by nobody else's hands.
Result<void> OverlayMount::check_upper() const {
    const vfs::SuperBlock& superblock = upper_.dentry->superblock();
    if (upper_.mount != work_.mount || are_nested(*upper_.dentry, *work_.dentry)) return error(Errno::EINVAL);
    if (upper_.mount->is_read_only()) return error(Errno::EINVAL);
    if (superblock.dentry_policy() != vfs::DentryPolicy::Cache || superblock.stack_depth() != 0)
        return error(Errno::EINVAL);
    return {};
}

/// A layer within another would be shown within itself.
Result<void> OverlayMount::check_nesting() const {
    for (usize i = 0; i < lowers_.size(); ++i) {
        const Dentry& lower = *lowers_[i].dentry;
        if (!upper_.is_empty() && (are_nested(lower, *upper_.dentry) || are_nested(lower, *work_.dentry)))
            return error(Errno::ELOOP);
        for (usize j = 0; j < i; ++j)
            if (are_nested(lower, *lowers_[j].dentry)) return error(Errno::ELOOP);
    }
    return {};
}

Result<void> OverlayMount::check_depth() {
    for (const Path& lower : lowers_) depth_ = std::max(depth_, lower.dentry->superblock().stack_depth());
    return ++depth_ > deepest_stack ? error(Errno::EINVAL) : Result<void>{};
}

/// The file systems are told apart by number.
Result<void> OverlayMount::add_file_system(Layer& layer) {
    vfs::SuperBlock& superblock = layer.root.dentry->superblock();
    auto& below = overlay_->below_;
    for (u32 i = 0; i < below.size(); ++i)
        if (below[i].superblock == &superblock) {
            layer.file_system = i;
            return {};
        }
    const auto statistics = TRY(superblock.statistics());
    const u64 id = statistics.id ? statistics.id : superblock.device().encoded();
    layer.file_system = static_cast<u32>(below.size());
    return below.try_push({&superblock, id, vfs::allocate_anonymous_device().encoded()});
}

Result<void> OverlayMount::add_layer(const Path& place, u64 flags) {
    Layer layer;
    if (!place.is_empty()) {
        vfs::SuperBlock& superblock = place.dentry->superblock();
        const RefPtr<Dentry> root(*place.dentry);
        layer.root = {TRY(vfs::Mount::create(RefPtr<vfs::SuperBlock>(superblock), root, "overlay", flags)), root};
        TRY(add_file_system(layer));
    }
    return overlay_->layers_.try_push(std::move(layer));
}

/// Two overlays would change the same directories without knowing of each other.
Result<void> OverlayMount::claim_upper() {
    core::MutexGuard guard(mounted.lock);
    for (const OverlaySuperBlock& other : mounted.list) {
        const Dentry& upper = *other.layer(0).root.dentry;
        const Dentry& work = *other.work_base_;
        const bool is_in_use = are_nested(upper, *upper_.dentry) || are_nested(upper, *work_.dentry) ||
                               are_nested(work, *upper_.dentry) || are_nested(work, *work_.dentry);
        if (is_in_use) return error(Errno::EBUSY);
    }
    overlay_->work_base_ = work_.dentry;
    mounted.list.push_back(*overlay_);
    return {};
}

/// An empty directory in the work directory, whatever was left there.
Result<void> OverlayMount::prepare_work() {
    Dentry& base = *work_.dentry;
    const auto old = TRY(find_in_layer(base, work_name));
    if (old->inode() && old->inode()->is_directory()) {
        // A volatile overlay was here, and may never have been stored (overlayfs, "Volatile mount").
        const auto incompatible = TRY(find_in_layer(old, incompatible_name));
        if (incompatible->inode() && incompatible->inode()->is_directory() &&
            TRY(find_in_layer(incompatible, volatile_name))->inode())
            return error(Errno::EINVAL);
    }
    TRY(remove_tree(base, work_name));
    vfs::CreateRequest request;
    request.mode = abi::S_IFDIR;
    overlay_->work_ = TRY(make_name(base, work_name, request));
    // The marks must be kept.
    const auto kept = overlay_->marks().set(*overlay_->work_->inode(), mark::opaque);
    if (!kept) return error(kept.error() == Errno::EOPNOTSUPP ? Errno::EINVAL : kept.error());
    if (!options_.is_volatile) return {};
    const auto incompatible = TRY(make_name(*overlay_->work_, incompatible_name, request));
    TRY(make_name(incompatible, volatile_name, request));
    return {};
}

/// An upper layer that nobody has used yet gets an identity that it keeps.
Result<void> OverlayMount::choose_uuid() {
    if (upper_.is_empty() || options_.uuid == UuidMode::Off || options_.uuid == UuidMode::Null) return {};
    vfs::Inode& root = *upper_.inode();
    u64 uuid[2];
    const Marks::Value known = TRY(overlay_->marks().read(root, mark::uuid));
    if (known && known->size() == sizeof uuid) {
        std::memcpy(uuid, known->begin(), sizeof uuid);
    } else {
        if (options_.uuid == UuidMode::Automatic && TRY(overlay_->marks().is_set(root, mark::impure))) return {};
        core::random_bytes({reinterpret_cast<u8*>(uuid), sizeof uuid});
        const auto stored = overlay_->marks().write(root, mark::uuid, {reinterpret_cast<const u8*>(uuid), sizeof uuid});
        if (!stored) return {};
        overlay_->options_.uuid = UuidMode::On;
    }
    overlay_->id_ = uuid[0] ^ uuid[1];
    return {};
}

/// What the layers have in common or at most.
Result<void> OverlayMount::set_limits() {
    OverlaySuperBlock& overlay = *overlay_;
    const Layer& shown = overlay.layers_[upper_.is_empty() ? 1 : 0];
    const vfs::SuperBlock& first = shown.root.dentry->superblock();
    overlay.max_file_size_ = first.max_file_size();
    overlay.block_size_ = first.block_size();
    overlay.stack_depth_ = depth_;
    overlay.max_name_length_ = 0;
    for (const auto& below : overlay.below_) {
        overlay.max_name_length_ = std::max(overlay.max_name_length_, below.superblock->max_name_length());
        overlay.keeps_acls_ |= below.superblock->keeps_acls();
    }
    overlay.one_file_system_ = overlay.below_.size() == 1;
    if (overlay.one_file_system_) overlay.options_.wide_numbers = false;
    overlay.number_bits_ = 63u - static_cast<u32>(std::bit_width(overlay.below_.size() - 1));
    overlay.set_read_only(upper_.is_empty() || (source_.flags & abi::MS_RDONLY));
    return {};
}

Result<void> OverlayMount::make_root() {
    Found found;
    if (!upper_.is_empty()) found.upper = upper_.dentry;
    for (u32 i = 0; i < lowers_.size(); ++i)
        TRY(found.lowers.try_push(LowerPlace{RefPtr<Dentry>(lowers_[i].dentry), i + 1}));
    return overlay_->set_root(TRY(overlay_->inode_of_found(std::move(found))));
}

Result<RefPtr<OverlaySuperBlock>> OverlayMount::make() {
    TRY(options_.parse(source_.options));
    TRY(find_layers());
    TRY(check_nesting());
    TRY(check_depth());
    overlay_ = TRY(OverlaySuperBlock::prepare(type_, std::move(options_)));
    constexpr u64 access_times = abi::MS_NOATIME | abi::MS_NODIRATIME | abi::MS_STRICTATIME;
    const u64 upper_flags = source_.flags & access_times;
    TRY(add_layer(upper_, upper_flags ? upper_flags : u64{abi::MS_RELATIME}));
    for (const Path& lower : lowers_) TRY(add_layer(lower, abi::MS_RDONLY | abi::MS_NOATIME));
    TRY(set_limits());
    if (!upper_.is_empty()) {
        TRY(claim_upper());
        TRY(prepare_work());
        TRY(choose_uuid());
    }
    TRY(make_root());
    return RefPtr<OverlaySuperBlock>(std::move(overlay_));
}

Result<RefPtr<OverlaySuperBlock>> OverlaySuperBlock::create(vfs::FileSystemType& type, const vfs::MountSource& source) {
    return OverlayMount(type, source).make();
}

OverlaySuperBlock::~OverlaySuperBlock() {
    core::MutexGuard guard(mounted.lock);
    if (list_node.is_linked()) mounted.list.remove(*this);
}

namespace {

class OverlayType final : public vfs::FileSystemType {
public:
    const char* name() const override { return "overlay"; }
    Result<RefPtr<vfs::SuperBlock>> mount(const vfs::MountSource& source) override {
        return TRY(OverlaySuperBlock::create(*this, source));
    }
};

[[clang::no_destroy]] constinit OverlayType overlay_type;

} // namespace

} // namespace linnet::overlay

namespace linnet::fs {

Result<void> register_overlay() { return vfs::register_file_system(overlay::overlay_type); }

} // namespace linnet::fs
