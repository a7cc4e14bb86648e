// A mounted overlay: its layers, the work directory, and the inodes that must not be made twice.
#pragma once

#include "layers.hpp"
#include "overlay_options.hpp"

#include <lib/intrusive_tree.hpp>
#include <vfs/superblock.hpp>

namespace linnet::overlay {

class OverlayDirectory;
class OverlayInode;

/// What stat(2) says an object is.
struct Identity {
    u64 number;
    u64 device; // encoded
};

class OverlaySuperBlock final : public vfs::SuperBlock {
public:
    /// EINVAL, ELOOP for layers within one another, EBUSY for an upper or work directory that another overlay has, and
    /// what looking them up says.
    static Result<RefPtr<OverlaySuperBlock>> create(vfs::FileSystemType& type, const vfs::MountSource& source);
    ~OverlaySuperBlock() override;

    const Marks& marks() const { return marks_; }
    /// Whoever mounted it, by whose rights the layers are used.
    const vfs::Credentials& mounter() const { return *mounter_; }
    Redirects redirects() const { return options_.redirects; }
    bool is_volatile() const { return options_.is_volatile; }
    bool has_upper() const { return !layers_[0].root.is_empty(); }
    /// 0 is the upper one.
    const Layer& layer(u32 number) const { return layers_[number]; }
    u32 layer_count() const { return static_cast<u32>(layers_.size()); }
    /// Where things of the upper layer are made before they get their place.
    vfs::Dentry& work() const { return *work_; }
    /// A fresh name there.
    u64 next_work_number() { return last_work_number_.fetch_add(1, std::memory_order_relaxed) + 1; }

    /// The inode of what was found. EIO, ENOMEM.
    Result<RefPtr<vfs::Inode>> inode_of_found(Found found);
    /// The number and device of an object of a layer as the overlay shows them.
    Identity identity_of(u32 layer, const vfs::Inode& inode) { return identity_on(layers_[layer].file_system, inode); }
    /// The number that readdir(3) tells of an entry of a layer.
    u64 listed_number(u32 layer, u64 number) const;
    /// Whether all numbers that readdir(3) lists can be those of stat(2).
    bool has_numbers_of_own() const { return one_file_system_ || options_.wide_numbers; }
    /// Notes with a copy what it was made from (mark::origin), where the lower file system has handles.
    void note_origin(vfs::Inode& copy, const LowerPlace& from);

    /// An inode has its upper object now: all names of that lead to it.
    void enlist(OverlayInode& inode);
    void forget(OverlayInode& inode);

    Result<vfs::FileSystemStatistics> statistics() override;
    Result<void> sync() override;
    Result<void> remount(std::string_view options, bool read_only) override;
    void show_options(TextSink sink) override;

private:
    friend class OverlayMount;
    struct Table;
    OverlaySuperBlock(vfs::FileSystemType& type, OverlayOptions options, RefPtr<const vfs::Credentials> mounter,
                      OwnPtr<Table> table);
    /// One without layers yet.
    static Result<RefPtr<OverlaySuperBlock>> prepare(vfs::FileSystemType& type, OverlayOptions options);
    Identity identity_on(u32 file_system, const vfs::Inode& inode);
    Result<Identity> choose_identity(const Found& found);
    Result<RefPtr<OverlayInode>> make_inode(Found found);
    Result<std::optional<Identity>> origin_of(vfs::Inode& upper);

    /// One that layers lie on.
    struct Below {
        vfs::SuperBlock* superblock;
        u64 id;     // statistics().id, for origins
        u64 device; // encoded: what files from there show as theirs, where numbers would be ambiguous
    };

    OverlayOptions options_;
    Marks marks_;
    RefPtr<const vfs::Credentials> mounter_;
    ArrayList<Layer> layers_;
    ArrayList<Below> below_; // the upper layer's first
    NullableRefPtr<vfs::Dentry> work_, work_base_;
    bool one_file_system_ = false;
    u32 number_bits_ = 64; // of a number of a layer's, with wide numbers
    u64 id_ = 0;
    std::atomic<u64> last_work_number_{0};
    std::atomic<u64> last_number_{0};

    struct UpperOf {
        using type = const vfs::Inode*;
        type operator()(const OverlayInode& inode) const;
    };
    core::SpinLock table_lock_;
    OwnPtr<Table> table_; // of objects with an upper part but directories; keeps none alive

public:
    ListNode list_node; // of all overlays that have an upper layer
};

} // namespace linnet::overlay
