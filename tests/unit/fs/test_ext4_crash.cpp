// Files and directories through the journal: wherever the machine stops, what is found after the replay is the tree
// behind one of the transactions, data and all, and e2fsck has nothing to mend.
#include "../mm/machine.hpp"
#include "attribute_edit.hpp"
#include "attributes.hpp"
#include "crash_disk.hpp"
#include "directory_edit.hpp"
#include "ext4_disk.hpp"
#include "file_blocks.hpp"
#include "journal_replay.hpp"

#include <gtest/gtest.h>
#include <lib/crc32c.hpp>
#include <map>

namespace linnet::test {
namespace {

using ext4::DirectoryEditor;
using ext4::DiskInode;
using ext4::Handle;
using ext4::InodeKind;

/// By path: what files hold, with their attribute before it; "/" behind the path of a directory.
using Tree = std::map<std::string, std::string>;

constexpr u8 type_regular = 1, type_directory = 2;
constexpr const char* attribute_name = "user.attribute";

/// A fresh file system that says it has a journal to be replayed, as a mounted one does.
std::vector<u8> image_in_use(const char* options, unsigned kilobytes) {
    const Folder contents;
    auto image = make_image(contents, options, kilobytes);
    auto& superblock = *reinterpret_cast<ext4::Superblock*>(image.data() + ext4::superblock_offset);
    superblock.feature_incompat |= ext4::incompat_recover;
    if (superblock.feature_ro_compat & ext4::ro_compat_metadata_checksum)
        superblock.checksum =
            crc32c(~0u, {reinterpret_cast<const u8*>(&superblock), offsetof(ext4::Superblock, checksum)});
    return image;
}

/// A mounted file system in which something happens.
class Mounted {
public:
    Mounted(const std::vector<u8>& image, u32 seed)
        : image_(image), volume_(MUST(ext4::Volume::open(*image_.pages, image_.bytes.size(), "image"))),
          allocator_(MUST(ext4::Allocator::create(*volume_))), recorder(image_, volume_->block_size()),
          journal_(MUST(ext4::Journal::open(*volume_, *image_.pages, recorder))), random_(seed) {
        nodes_[ext4::root_inode].inode = MUST(volume_->read_inode(ext4::root_inode));
        nodes_[ext4::root_inode].is_directory = true;
        after.push_back(tree());
    }

    void transact() {
        for (u32 left = 1 + random_() % 8; left > 0; --left) {
            Handle handle = MUST(journal_->begin(most_changes));
            change_somehow(handle);
            MUST(allocator_->store_totals(handle));
        }
        after.push_back(tree());
        MUST(journal_->commit_all());
        acknowledged_.emplace_back(recorder.events.size(), after.size() - 1);
        if (random_() % 8 == 0) MUST(journal_->checkpoint());
    }
    /// The oldest tree that may be found after so many events.
    [[nodiscard]] usize least(usize events) const {
        usize least = 0;
        for (const auto& [at, number] : acknowledged_)
            if (at <= events) least = number;
        return least;
    }
    std::vector<Tree> after; // [n]: when n transactions are there

private:
    static constexpr usize most_changes = 100;
    struct Node {
        DiskInode inode;
        bool is_directory = false;
        u32 parent = ext4::root_inode;
        std::string name, content, attribute;
    };

    ext4::InodeEdit edit(Handle& handle, Node& node) { return {*allocator_, handle, node.inode}; }
    void store(Handle& handle, Node& node) { MUST(ext4::write_inode(*volume_, handle, node.inode)); }
    std::string path_of(u32 number) {
        return number == ext4::root_inode ? "" : path_of(nodes_[number].parent) + "/" + nodes_[number].name;
    }
    Tree tree() {
        Tree tree;
        for (auto& [number, node] : nodes_)
            tree[path_of(number) + (node.is_directory ? "/" : "")] =
                node.is_directory ? "/" : node.attribute + "|" + node.content;
        return tree;
    }
    Node& some(bool is_directory) {
        for (;;) {
            auto& [number, node] = *std::next(nodes_.begin(), static_cast<i64>(random_() % nodes_.size()));
            if (node.is_directory == is_directory) return node;
        }
    }
    [[nodiscard]] usize files() const {
        return static_cast<usize>(
            std::ranges::count_if(nodes_, [](const auto& entry) { return !entry.second.is_directory; }));
    }

    void change_somehow(Handle& handle) {
        switch (random_() % 12) {
        case 0:
            if (nodes_.size() - files() < 12) make(handle, true);
            return;
        case 1:
        case 2:
        case 3:
            if (files() < 120) make(handle, false);
            return;
        case 4:
            return remove_directory(handle);
        default:
            break;
        }
        if (files() == 0) return;
        Node& file = some(false);
        switch (random_() % 6) {
        case 0:
            return remove(handle, file);
        case 1:
            return rename(handle, file);
        case 2:
            return set_attribute(handle, file);
        case 3:
            return cut(handle, file, random_() % (blocks_of(file) + 1));
        default:
            return append(handle, file);
        }
    }

    void make(Handle& handle, bool is_directory) {
        Node& parent = some(true);
        const auto kind = is_directory ? InodeKind::Directory : InodeKind::Other;
        const u32 number = MUST(allocator_->allocate_inode(handle, parent.inode.number, kind));
        Node node{.inode = MUST(ext4::make_inode(*volume_, {.number = number,
                                                            .mode = static_cast<u16>(is_directory ? 0040755 : 0100644),
                                                            .generation = static_cast<u32>(random_())})),
                  .is_directory = is_directory,
                  .parent = parent.inode.number,
                  .name = std::to_string(++last_name_) + std::string(random_() % 100, 'n'),
                  .content = "",
                  .attribute = ""};
        if (is_directory) {
            node.inode.raw.link_count = 2;
            MUST(DirectoryEditor(edit(handle, node)).start(parent.inode.number));
            MUST(ext4::add_link(*volume_, parent.inode));
        }
        MUST(ext4::InodePlace::change(*volume_, handle, number)).store_new(node.inode);
        MUST(
            DirectoryEditor(edit(handle, parent)).add(node.name, number, is_directory ? type_directory : type_regular));
        store(handle, parent);
        nodes_[number] = std::move(node);
        if (!is_directory) append(handle, nodes_[number]);
    }
    [[nodiscard]] u64 blocks_of(const Node& file) const { return file.content.size() / volume_->block_size(); }
    void set_size(Node& file) { file.inode.raw.size_low = static_cast<u32>(file.content.size()); }

    /// Data goes to the disk at once: before the transaction is committed, as in ordered mode.
    void append(Handle& handle, Node& file) {
        const usize size = volume_->block_size();
        for (u64 left = 1 + random_() % 4; left > 0;) {
            const auto run =
                MUST(ext4::allocate_file_blocks(edit(handle, file), blocks_of(file), left, ext4::Run::Kind::Data));
            for (u64 i = 0; i < run.count; ++i) {
                std::string text(size, static_cast<char>('a' + random_() % 26));
                text.replace(0, 20, std::to_string(random_()) + std::string(20, ' '), 0, 20);
                const u8* const bytes = reinterpret_cast<const u8*>(text.data());
                MUST(recorder.write(run.first + i, {&bytes, 1}));
                file.content += text;
            }
            left -= run.count;
        }
        set_size(file);
        store(handle, file);
    }
    void cut(Handle& handle, Node& file, u64 blocks) {
        for (u64 end = ext4::no_end; end > blocks;) end = MUST(ext4::free_last_blocks(edit(handle, file), blocks, end));
        file.content.resize(blocks * volume_->block_size());
        set_size(file);
        store(handle, file);
    }
    void set_attribute(Handle& handle, Node& file) {
        file.attribute = std::string(random_() % 2 ? 20 : 500, static_cast<char>('a' + random_() % 26));
        MUST(ext4::set_attribute(edit(handle, file), attribute_name,
                                 {reinterpret_cast<const u8*>(file.attribute.data()), file.attribute.size()},
                                 ext4::AttributeMode::CreateOrReplace));
        store(handle, file);
    }
    void remove(Handle& handle, Node& node) {
        const u32 number = node.inode.number;
        Node& parent = nodes_[node.parent];
        EXPECT_EQ(MUST(DirectoryEditor(edit(handle, parent)).remove(node.name)), number);
        if (node.is_directory) ext4::remove_link(parent.inode);
        store(handle, parent);
        cut(handle, node, 0);
        MUST(ext4::free_attributes(edit(handle, node)));
        node.inode.raw.link_count = 0;
        auto place = MUST(ext4::InodePlace::change(*volume_, handle, number));
        place.store(node.inode);
        place.store_deletion_time(1'700'000'000);
        MUST(allocator_->free_inode(handle, number, node.is_directory ? InodeKind::Directory : InodeKind::Other));
        nodes_.erase(number);
    }
    void remove_directory(Handle& handle) {
        Node& node = some(true);
        if (node.inode.number != ext4::root_inode && MUST(DirectoryEditor(edit(handle, node)).is_empty()))
            remove(handle, node);
    }
    void rename(Handle& handle, Node& file) {
        Node& from = nodes_[file.parent];
        MUST(DirectoryEditor(edit(handle, from)).remove(file.name));
        store(handle, from);
        Node& to = some(true);
        file.name = std::to_string(++last_name_);
        file.parent = to.inode.number;
        MUST(DirectoryEditor(edit(handle, to)).add(file.name, file.inode.number, type_regular));
        store(handle, to);
    }

    ImageDisk image_;
    OwnPtr<ext4::Volume> volume_;
    OwnPtr<ext4::Allocator> allocator_;

public:
    CrashDisk recorder;

private:
    OwnPtr<ext4::Journal> journal_;
    std::mt19937 random_;
    std::map<u32, Node> nodes_;
    int last_name_ = 0;
    std::vector<std::pair<usize, usize>> acknowledged_; // so many events, so many transactions
};

/// All that is in a directory and below.
void read_tree(ext4::Volume& volume, const ImageDisk& disk, u32 number, const std::string& path, Tree& tree) {
    const DiskInode inode = MUST(volume.read_inode(number));
    if ((inode.raw.mode & ext4::mode_kind) == ext4::mode_directory) {
        tree[path + "/"] = "/";
        std::vector<std::pair<std::string, u32>> entries;
        MUST(ext4::Directory(volume, inode).list(0, [&](const ext4::Entry& entry) {
            entries.emplace_back(std::string(entry.name), entry.inode);
            return true;
        }));
        for (const auto& [name, child] : entries)
            if (name != "lost+found") read_tree(volume, disk, child, path + "/" + name, tree);
        return;
    }
    std::string& text = tree[path];
    MUST(ext4::list_attributes(volume, inode, [&](const ext4::Attribute& attribute) {
        text.append(attribute.value.begin(), attribute.value.end());
        return true;
    }));
    text += "|";
    for (u64 index = 0; index < inode.size() / volume.block_size(); ++index) {
        const auto run = MUST(ext4::map_blocks(volume, inode, index, 1));
        text.append(reinterpret_cast<const char*>(disk.bytes.data()) + run.first * volume.block_size(),
                    volume.block_size());
    }
}

TEST(Ext4Crash, TreesAreThoseOfATransaction) {
    start_machine();
    u32 seed = 100;
    for (const char* shape : {"-b 1024 -J size=1", "-b 1024 -J size=1 -O ^64bit,^metadata_csum,^extents -I 128"}) {
        for (int round = steps(4, 10); round > 0; --round) {
            SCOPED_TRACE(shape);
            Mounted mounted(image_in_use(shape, 4096), ++seed);
            for (int i = 0; i < 60; ++i) mounted.transact();
            std::mt19937 random(seed);
            const usize all = mounted.recorder.events.size();
            for (int stop = 0; stop < 60; ++stop) {
                const usize events = stop == 0 ? all : random() % all;
                ImageDisk disk(mounted.recorder.stopped_after(events, random));
                {
                    auto volume = MUST(ext4::Volume::open(*disk.pages, disk.bytes.size(), "image"));
                    MUST(ext4::replay_journal(*volume, *disk.pages,
                                              [&] { return disk.pages->write_back(0, disk.bytes.size()); }));
                }
                auto volume = MUST(ext4::Volume::open(*disk.pages, disk.bytes.size(), "image"));
                Tree tree;
                read_tree(*volume, disk, ext4::root_inode, "", tree);
                usize found = mounted.least(events);
                while (found < mounted.after.size() && mounted.after[found] != tree) ++found;
                ASSERT_LT(found, mounted.after.size()) << "stopped after " << events << " of " << all;
                if (stop % 4 == 0) ASSERT_TRUE(is_clean(disk.bytes)) << "stopped after " << events << " of " << all;
            }
        }
    }
}

} // namespace
} // namespace linnet::test
