// Names come and go: what a directory lists and finds is what a model says, and e2fsck agrees.
#include "../mm/machine.hpp"
#include "directory_edit.hpp"
#include "ext4_disk.hpp"
#include "file_blocks.hpp"
#include "mutate.hpp"

#include <gtest/gtest.h>
#include <map>

namespace linnet::test {
namespace {

using ext4::DirectoryEditor;
using ext4::DiskInode;
using ext4::InodeEdit;

constexpr u8 type_regular = 1, type_directory = 2;
constexpr int targets = 4;

constexpr const char* shapes[] = {
    "-b 1024",
    "-b 4096",
    "-b 1024 -O ^metadata_csum,^64bit -I 128",
    "-b 1024 -O ^dir_index",
    "-b 1024 -O ^extents,^metadata_csum,^64bit,^filetype",
    "-b 1024 -O large_dir",
};

std::vector<u8> image_of(const char* shape, unsigned kilobytes = 8192) {
    const Folder folder;
    folder.make_directory("directory");
    for (int i = 0; i < targets; ++i) folder.write("target" + std::to_string(i), "");
    return make_image(folder, shape, kilobytes);
}

u32 number_of(Ext4Disk& disk, const char* name) {
    const auto root = MUST(disk.volume->read_inode(ext4::root_inode));
    return MUST(ext4::Directory(*disk.volume, root).find(name));
}

/// A directory whose names are known; all are further links to a few files.
class Names {
public:
    explicit Names(Ext4Disk& disk) : disk_(disk), inode_(MUST(disk.volume->read_inode(number_of(disk, "directory")))) {
        for (int i = 0; i < targets; ++i)
            targets_[i] = MUST(disk.volume->read_inode(number_of(disk, ("target" + std::to_string(i)).c_str())));
    }
    [[nodiscard]] DirectoryEditor editor() {
        return DirectoryEditor(InodeEdit{*disk_.allocator, disk_.writer, inode_, ext4::Privilege::None});
    }
    Result<void> add(const std::string& name, usize target) {
        TRY(editor().add(name, targets_[target].number, type_regular));
        names[name] = target;
        return {};
    }
    Result<void> remove(const std::string& name) {
        EXPECT_EQ(TRY(editor().remove(name)), targets_[names[name]].number);
        names.erase(name);
        return {};
    }
    Result<void> replace(const std::string& name, usize target) {
        EXPECT_EQ(TRY(editor().replace(name, targets_[target].number, type_regular)), targets_[names[name]].number);
        names[name] = target;
        return {};
    }
    void check() {
        ext4::Directory directory(*disk_.volume, inode_);
        std::map<std::string, u32> seen;
        MUST(directory.list(0, [&](const ext4::Entry& entry) {
            EXPECT_TRUE(seen.emplace(std::string(entry.name), entry.inode).second) << entry.name;
            return true;
        }));
        ASSERT_EQ(seen.size(), names.size());
        for (const auto& [name, target] : names) {
            ASSERT_EQ(seen[name], targets_[target].number) << name;
            ASSERT_EQ(directory.find(name), targets_[target].number) << name;
        }
    }
    bool is_clean() {
        for (usize i = 0; i < targets; ++i) {
            targets_[i].raw.link_count = 1;
            for (const auto& [name, target] : names) targets_[i].raw.link_count += target == i ? 1 : 0;
            MUST(ext4::write_inode(*disk_.volume, disk_.writer, targets_[i]));
        }
        MUST(ext4::write_inode(*disk_.volume, disk_.writer, inode_));
        return disk_.is_clean();
    }
    std::map<std::string, usize> names;
    DiskInode& inode() { return inode_; }

private:
    Ext4Disk& disk_;
    DiskInode inode_;
    DiskInode targets_[targets];
};

std::string some_name(std::mt19937& random) {
    const usize length = random() % 6 ? 1 + random() % 30 : 1 + random() % 255;
    std::string name;
    for (usize i = 0; i < length; ++i) {
        const char c = static_cast<char>(random() % 8 ? 'a' + random() % 26 : random());
        name += c == '/' || c == '\0' ? '_' : c;
    }
    return name == "." || name == ".." ? "dots" : name;
}

/// Something that may happen to a directory.
Result<void> change_somehow(Names& names, std::mt19937& random, usize most) {
    const usize target = random() % targets;
    const std::string name = some_name(random);
    if (!names.names.empty() && (names.names.size() > most || random() % 3 == 0)) {
        auto which = names.names.lower_bound(name);
        if (which == names.names.end()) which = names.names.begin();
        const std::string known = which->first;
        return random() % 4 ? names.remove(known) : names.replace(known, target);
    }
    return names.names.contains(name) ? Result<void>() : names.add(name, target);
}

TEST(Ext4Directory, NamesComeAndGo) {
    start_machine();
    std::mt19937 random(31);
    for (const char* shape : shapes) {
        for (const usize most : {20u, 1500u}) {
            SCOPED_TRACE(shape);
            Ext4Disk disk(image_of(shape));
            Names names(disk);
            for (int i = 0; i < static_cast<int>(most) * 4; ++i) {
                ASSERT_TRUE(change_somehow(names, random, most));
                if (i % 1000 == 0) names.check();
            }
            names.check();
            ASSERT_TRUE(names.is_clean());
            EXPECT_EQ(names.editor().remove("never there").error(), Errno::ENOENT);
            EXPECT_EQ(names.editor().replace("never there", 12, 1).error(), Errno::ENOENT);
            EXPECT_FALSE(MUST(names.editor().is_empty()));
            while (!names.names.empty()) ASSERT_TRUE(names.remove(names.names.begin()->first));
            EXPECT_TRUE(MUST(names.editor().is_empty()));
            names.check();
            EXPECT_TRUE(names.is_clean());
        }
    }
}

/// More than one level of index nodes: 1 KiB has 126 children each.
TEST(Ext4Directory, IndicesGetDeep) {
    start_machine();
    std::mt19937 random(7);
    for (const char* shape :
         {"-b 1024 -E hash_seed=01234567-89ab-cdef-0123-456789abcdef", "-b 1024 -O ^metadata_csum"}) {
        SCOPED_TRACE(shape);
        Ext4Disk disk(image_of(shape, 24'576));
        Names names(disk);
        auto long_name = [](int i) { return std::to_string(i * 7919) + std::string(200, 'x'); };
        for (int i = 0; i < 2500; ++i) ASSERT_TRUE(names.add(long_name(i), static_cast<usize>(i) % targets));
        EXPECT_TRUE(names.inode().has(ext4::inode_indexed));
        names.check();
        ASSERT_TRUE(names.is_clean());
        for (int i = 0; i < 2500; i += 2) ASSERT_TRUE(names.remove(long_name(i)));
        for (int i = 0; i < 3000; ++i) ASSERT_TRUE(change_somehow(names, random, 2000));
        names.check();
        EXPECT_TRUE(names.is_clean());
    }
}

TEST(Ext4Directory, AFullDiskIsAnError) {
    start_machine();
    for (const char* shape : shapes) {
        SCOPED_TRACE(shape);
        Ext4Disk disk(image_of(shape));
        Names names(disk);
        while (disk.allocator->free_counts().blocks > 450)
            (void)disk.allocator->allocate_blocks(disk.writer, 0, disk.allocator->free_counts().blocks - 450,
                                                  ext4::Privilege::None);
        std::vector<ext4::Run> others;
        while (auto run = disk.allocator->allocate_blocks(disk.writer, 0, 1, ext4::Privilege::None))
            others.push_back(*run);
        for (int i = 0; i < 5; ++i) MUST(disk.free(others[static_cast<usize>(i) * 2]));
        disk.writer.committed = disk.writer.number++;
        Result<void> done;
        for (int i = 0; done; ++i) done = names.add("name " + std::to_string(i), 0);
        EXPECT_EQ(done.error(), Errno::ENOSPC);
        names.check();
        EXPECT_GT(names.names.size(), 100u);
    }
}

/// Whatever call of the writer fails, no name has come or gone, and what failed can be done again.
TEST(Ext4Directory, FailuresLeaveOrder) {
    start_machine();
    for (const char* shape : shapes) {
        SCOPED_TRACE(shape);
        std::mt19937 random(5);
        Ext4Disk disk(image_of(shape));
        Names names(disk);
        int failures = 0;
        for (int i = 0; i < 600; ++i) {
            const auto seed = random();
            for (int failing = 0;; ++failing) {
                std::mt19937 again(seed);
                disk.writer.fails_at = disk.writer.calls + failing;
                const auto done = change_somehow(names, again, 1000);
                disk.writer.fails_at = -1;
                if (done) break;
                ASSERT_EQ(done.error(), Errno::EIO);
                ++failures;
                if (failing > 0) names.check();
                ASSERT_LT(failing, 1000);
            }
            disk.writer.committed = disk.writer.number++;
        }
        EXPECT_GT(failures, 400);
        names.check();
        EXPECT_TRUE(names.is_clean());
    }
}

/// A listing in pieces tells each name once that was there all the time, while others come, go and split blocks.
TEST(Ext4Directory, ListingsMissNothing) {
    start_machine();
    std::mt19937 random(77);
    Ext4Disk disk(image_of("-b 1024"));
    Names names(disk);
    for (int i = 0; i < 300; ++i) ASSERT_TRUE(names.add("stays " + std::to_string(i), 0));
    ASSERT_TRUE(names.inode().has(ext4::inode_indexed));
    std::map<std::string, int> seen;
    u64 position = 0;
    for (bool went_on = true; went_on;) {
        went_on = false;
        int left = 1 + static_cast<int>(random() % 5);
        MUST(ext4::Directory(*disk.volume, names.inode()).list(position, [&](const ext4::Entry& entry) {
            if (left-- == 0) return false;
            went_on = true;
            if (entry.name.starts_with("stays")) ++seen[std::string(entry.name)];
            EXPECT_GT(entry.position, position);
            position = entry.position;
            return true;
        }));
        for (int i = 0; i < 5; ++i) {
            const std::string name = "comes " + std::to_string(random() % 2000);
            ASSERT_TRUE(names.names.contains(name) ? names.remove(name) : names.add(name, 1));
        }
    }
    EXPECT_EQ(seen.size(), 300u);
    for (const auto& [name, times] : seen) EXPECT_EQ(times, 1) << name;
    EXPECT_TRUE(names.is_clean());
}

/// Directories are made, moved and removed, as system calls will.
TEST(Ext4Directory, TreesGrowAndShrink) {
    start_machine();
    for (const char* shape : shapes) {
        SCOPED_TRACE(shape);
        std::mt19937 random(41);
        Ext4Disk disk(image_of(shape));
        const auto before = disk.allocator->free_counts();
        struct Node {
            DiskInode inode;
            u32 parent;
            std::string name;
        };
        std::map<u32, Node> nodes;
        nodes[2] = {MUST(disk.volume->read_inode(2)), 2, ""};
        auto edit = [&](DiskInode& inode) { return InodeEdit{*disk.allocator, disk.writer, inode}; };
        auto store = [&](DiskInode& inode) { MUST(ext4::write_inode(*disk.volume, disk.writer, inode)); };
        auto pick = [&]() -> Node& {
            return std::next(nodes.begin(), static_cast<i64>(random() % nodes.size()))->second;
        };
        auto is_below = [&](u32 number, u32 top) {
            for (; number != top && number != 2; number = nodes[number].parent) {
            }
            return number == top;
        };
        auto make = [&](Node& parent) {
            const u32 number =
                MUST(disk.allocator->allocate_inode(disk.writer, parent.inode.number, ext4::InodeKind::Directory));
            Node fresh{
                MUST(ext4::make_inode(*disk.volume, {.number = number, .mode = 0040755, .generation = number * 7})),
                parent.inode.number, "made " + std::to_string(number)};
            fresh.inode.raw.link_count = 2;
            MUST(DirectoryEditor(edit(fresh.inode)).start(parent.inode.number));
            MUST(ext4::InodePlace::change(*disk.volume, disk.writer, number)).store_new(fresh.inode);
            MUST(DirectoryEditor(edit(parent.inode)).add(fresh.name, number, type_directory));
            MUST(ext4::add_link(*disk.volume, parent.inode));
            store(parent.inode);
            nodes[number] = std::move(fresh);
        };
        auto remove = [&](u32 number) {
            Node& node = nodes[number];
            Node& parent = nodes[node.parent];
            MUST(DirectoryEditor(edit(parent.inode)).remove(node.name));
            ext4::remove_link(parent.inode);
            store(parent.inode);
            for (u64 end = ext4::no_end; end > 0;) end = MUST(ext4::free_last_blocks(edit(node.inode), 0, end));
            node.inode.raw.link_count = 0;
            store(node.inode);
            MUST(ext4::InodePlace::change(*disk.volume, disk.writer, number)).store_deletion_time(1'700'000'000);
            MUST(disk.allocator->free_inode(disk.writer, number, ext4::InodeKind::Directory));
            nodes.erase(number);
        };
        for (int i = 0; i < 500; ++i) {
            Node& node = pick();
            const u32 number = node.inode.number;
            if (random() % 3) {
                if (nodes.size() < 100) make(node);
            } else if (number != 2 && MUST(DirectoryEditor(edit(node.inode)).is_empty())) {
                remove(number);
            } else if (Node& to = pick(); number != 2 && !is_below(to.inode.number, number)) {
                Node& from = nodes[node.parent];
                MUST(DirectoryEditor(edit(from.inode)).remove(node.name));
                ext4::remove_link(from.inode);
                MUST(DirectoryEditor(edit(to.inode)).add(node.name, number, type_directory));
                MUST(ext4::add_link(*disk.volume, to.inode));
                MUST(DirectoryEditor(edit(node.inode)).set_parent(to.inode.number));
                node.parent = to.inode.number;
                store(from.inode), store(to.inode), store(node.inode);
            }
            disk.writer.committed = disk.writer.number++;
        }
        ASSERT_TRUE(disk.is_clean());
        while (nodes.size() > 1)
            for (auto& [number, node] : nodes)
                if (number != 2 && MUST(DirectoryEditor(edit(node.inode)).is_empty())) {
                    remove(number);
                    break;
                }
        EXPECT_TRUE(disk.is_clean());
        EXPECT_EQ(disk.allocator->free_counts().inodes, before.inodes);
    }
}

TEST(Ext4Directory, LinksAreCountedUpToALimit) {
    start_machine();
    Ext4Disk disk(image_of("-b 1024"));
    DiskInode inode = MUST(disk.volume->read_inode(2));
    inode.raw.link_count = ext4::most_links;
    EXPECT_EQ(ext4::add_link(*disk.volume, inode).error(), Errno::EMLINK);
    inode.raw.flags |= ext4::inode_indexed;
    EXPECT_TRUE(ext4::add_link(*disk.volume, inode));
    EXPECT_EQ(inode.raw.link_count, 1);
    EXPECT_TRUE(ext4::add_link(*disk.volume, inode));
    ext4::remove_link(inode);
    EXPECT_EQ(inode.raw.link_count, 1);
    inode.raw.mode = 0100644;
    inode.raw.link_count = ext4::most_links;
    EXPECT_EQ(ext4::add_link(*disk.volume, inode).error(), Errno::EMLINK);
    ext4::remove_link(inode);
    EXPECT_EQ(inode.raw.link_count, ext4::most_links - 1);
}

TEST(Ext4Directory, InlineDirectoriesAreLeftAlone) {
    start_machine();
    Ext4Disk disk(image_of("-b 1024 -I 256 -O inline_data"));
    Names names(disk);
    EXPECT_EQ(names.add("name", 0).error(), Errno::EOPNOTSUPP);
    EXPECT_EQ(names.editor().remove("name").error(), Errno::EOPNOTSUPP);
}

TEST(Ext4Directory, DamageIsAnErrorAndNoMore) {
    start_machine();
    std::mt19937 random(12);
    std::vector<u8> image;
    std::vector<u64> blocks;
    {
        Ext4Disk disk(image_of("-b 1024 -O ^metadata_csum,^64bit", 4096));
        Names names(disk);
        for (int i = 0; i < 1500; ++i) ASSERT_TRUE(names.add(some_name(random) + std::to_string(i), 0));
        ASSERT_TRUE(names.is_clean());
        const u64 count = names.inode().size() / 1024;
        for (u64 i = 0; i < count; ++i)
            blocks.push_back(MUST(ext4::map_blocks(*disk.volume, names.inode(), i, 1)).first);
        image = disk.image.stored();
    }
    for (int round = steps(150, 20); round > 0; --round) {
        auto hurt = image;
        for (int changes = 1 + static_cast<int>(random() % 30); changes > 0; --changes) {
            const u64 block = random() % 3 ? blocks[random() % blocks.size()] : blocks[0];
            hurt[block * 1024 + random() % (random() % 2 ? 1024 : 64)] =
                static_cast<u8>(random() % 2 ? random() : random() % 9);
        }
        Ext4Disk disk(hurt);
        const auto root = disk.volume->read_inode(ext4::root_inode);
        auto inode = disk.volume->read_inode(number_of(disk, "directory"));
        if (!inode) continue;
        for (int i = 0; i < 60; ++i) {
            DirectoryEditor editor(InodeEdit{*disk.allocator, disk.writer, *inode});
            const std::string name = some_name(random);
            (void)editor.add(name, 12, type_regular);
            (void)editor.remove(random() % 2 ? name : some_name(random));
            (void)editor.replace(name, 13, type_regular);
            int left = 3000;
            (void)ext4::Directory(*disk.volume, *inode).list(random(), [&](const ext4::Entry&) { return --left > 0; });
        }
        (void)DirectoryEditor(InodeEdit{*disk.allocator, disk.writer, *inode}).set_parent(2);
    }
}

} // namespace
} // namespace linnet::test
