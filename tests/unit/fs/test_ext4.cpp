// Reading ext4: what mke2fs has written comes back, and damage is an error, never more.
#include "../mm/machine.hpp"
#include "attributes.hpp"
#include "directory.hpp"
#include "image.hpp"
#include "mutate.hpp"

#include <gtest/gtest.h>
#include <map>

namespace linnet::test {
namespace {

constexpr u32 type_bits = 0170000, type_directory = 0040000, type_regular = 0100000;

/// By path: the contents of files, "/" for directories.
using Tree = std::map<std::string, std::string>;

/// Reads all of a file system, as much as there is: damaged directories may lead in circles.
class Reader {
public:
    Reader(ext4::Volume& volume, const ImageDisk& disk) : volume_(volume), disk_(disk) {}

    Result<void> read_directory(u32 number, const std::string& path) {
        if (--budget_ < 0) return {};
        const ext4::DiskInode inode = TRY(volume_.read_inode(number));
        if ((inode.raw.mode & type_bits) != type_directory) return error(Errno::ENOTDIR);
        tree[path + "/"] = "/";
        std::vector<std::pair<std::string, u32>> names;
        Result<void> listed = ext4::Directory(volume_, inode).list(0, [&](const ext4::Entry& entry) {
            names.emplace_back(std::string(entry.name), entry.inode);
            return names.size() < 10'000;
        });
        for (auto& [name, child] : names) note(read_any(child, path + "/" + name));
        return listed;
    }
    Tree tree;
    std::vector<Errno> failures;

private:
    void note(Result<void> result) {
        if (!result) failures.push_back(result.error());
    }
    Result<void> read_any(u32 number, const std::string& path) {
        if (--budget_ < 0) return {};
        const ext4::DiskInode inode = TRY(volume_.read_inode(number));
        TRY(ext4::list_attributes(volume_, inode, [](const ext4::Attribute&) { return true; }));
        if ((inode.raw.mode & type_bits) == type_directory) return read_directory(number, path);
        if ((inode.raw.mode & type_bits) != type_regular) return {};
        tree[path] = TRY(contents(inode));
        return {};
    }
    Result<std::string> contents(const ext4::DiskInode& inode) {
        const usize size = std::min<u64>(inode.size(), 1 << 20);
        std::string text;
        if (inode.has(ext4::inode_inline_data)) {
            const auto rest = TRY(ext4::inline_data_behind_inode(inode));
            text.assign(reinterpret_cast<const char*>(inode.raw.block), ext4::inode_block_bytes);
            text.append(reinterpret_cast<const char*>(rest.data()), rest.size());
            text.resize(size);
            return text;
        }
        const u32 block = volume_.block_size();
        for (u64 index = 0; index * block < size;) {
            const ext4::Run run = TRY(ext4::map_blocks(volume_, inode, index, divide_up<u64>(size, block) - index));
            EXPECT_GE(run.count, 1u);
            const u64 bytes = run.count * block;
            if (run.kind == ext4::Run::Kind::Data) {
                EXPECT_LE(run.first * block + bytes, disk_.bytes.size());
                text.append(reinterpret_cast<const char*>(disk_.bytes.data()) + run.first * block, bytes);
            } else {
                text.append(bytes, '\0');
            }
            index += run.count;
        }
        text.resize(size);
        return text;
    }
    ext4::Volume& volume_;
    const ImageDisk& disk_;
    int budget_ = 5'000;
};

std::string numbers(int count) {
    std::string text;
    for (int i = 0; i < count; ++i) text += std::to_string(i) + "\n";
    return text;
}

/// A tree with a bit of everything.
Tree fill(const Folder& folder) {
    Tree tree{{"/", "/"}};
    auto add = [&](const std::string& name, const std::string& text) {
        folder.write(name, text);
        tree["/" + name] = text;
    };
    auto add_directory = [&](const std::string& name) {
        folder.make_directory(name);
        tree["/" + name + "/"] = "/";
    };
    add("empty", "");
    add("short", "hello\n");
    add("inside and behind", numbers(30)); // 80 bytes
    add("long", numbers(20'000));
    add("holes", std::string(200'000, '\0') + "x" + std::string(100'000, '\0') + "y");
    add_directory("few");
    add("few/" + std::string(255, 'n'), "long name\n");
    add_directory("many");
    for (int i = 0; i < 300; ++i) add("many/file " + std::to_string(i), std::to_string(i));
    return tree;
}

Result<Tree> read_all(ImageDisk& disk) {
    auto volume = TRY(ext4::Volume::open(*disk.pages, disk.bytes.size(), "image"));
    Reader reader(*volume, disk);
    TRY(reader.read_directory(ext4::root_inode, ""));
    if (!reader.failures.empty()) return error(reader.failures[0]);
    reader.tree.erase("/lost+found/");
    return std::move(reader.tree);
}

constexpr const char* shapes[] = {
    "-b 1024",
    "-b 2048 -O ^metadata_csum",
    "-b 4096",
    "-b 4096 -I 256 -O inline_data",
    "-b 1024 -O ^extents,^64bit,^metadata_csum,^flex_bg",
    "-b 1024 -O meta_bg,^resize_inode",
    "-b 1024 -I 128 -O ^metadata_csum,uninit_bg",
    "-b 1024 -O bigalloc -C 4096",
};

TEST(Ext4, ReadsWhatWasWritten) {
    start_machine();
    const Folder folder;
    const Tree wanted = fill(folder);
    for (const char* shape : shapes) {
        SCOPED_TRACE(shape);
        ImageDisk disk(make_image(folder, shape, 6144));
        const auto got = read_all(disk);
        ASSERT_TRUE(got) << static_cast<int>(got.error());
        EXPECT_EQ(*got, wanted);
    }
}

TEST(Ext4, FindsNames) {
    start_machine();
    const Folder folder;
    fill(folder);
    ImageDisk disk(make_image(folder, "-b 1024", 6144));
    auto volume = MUST(ext4::Volume::open(*disk.pages, disk.bytes.size(), "image"));
    const auto root = MUST(volume->read_inode(ext4::root_inode));
    const auto many = MUST(volume->read_inode(MUST(ext4::Directory(*volume, root).find("many"))));
    for (int i = 0; i < 300; ++i) EXPECT_TRUE(ext4::Directory(*volume, many).find("file " + std::to_string(i))) << i;
    for (const char* name : {"file 300", "file", "", ".", ".."})
        EXPECT_EQ(ext4::Directory(*volume, many).find(name).error(), Errno::ENOENT) << name;
}

/// e2fsck -D makes the index that mke2fs leaves out: with so many names one of two levels.
TEST(Ext4, FindsNamesByTheirHashes) {
    start_machine();
    constexpr int count = 4000;
    auto name_of = [](int i) {
        return "a name in an index, n\xc3\xba"
               "mero " +
               std::to_string(i * 7919);
    };
    const Folder folder;
    for (int i = 0; i < count; ++i) folder.write(name_of(i), "");
    const auto image = make_image(folder, "-b 1024 -N 5000", 8192);
    for (const char* hash : {"legacy", "half_md4", "tea"}) {
        SCOPED_TRACE(hash);
        const auto chosen = changed_by(image, std::string("tune2fs -E hash_alg=") + hash);
        const auto indexed = changed_by(chosen, "e2fsck -f -y -D");
        ImageDisk disk(indexed);
        auto volume = MUST(ext4::Volume::open(*disk.pages, disk.bytes.size(), "image"));
        const auto root = MUST(volume->read_inode(ext4::root_inode));
        ASSERT_TRUE(root.has(ext4::inode_indexed));
        ext4::Directory directory(*volume, root);
        for (int i = 0; i < count; ++i) EXPECT_TRUE(directory.find(name_of(i))) << i;
        EXPECT_EQ(directory.find("not there").error(), Errno::ENOENT);
        EXPECT_TRUE(directory.find("lost+found"));

        ImageDisk fresh(indexed);
        auto again = MUST(ext4::Volume::open(*fresh.pages, fresh.bytes.size(), "image"));
        EXPECT_TRUE(ext4::Directory(*again, MUST(again->read_inode(ext4::root_inode))).find(name_of(count / 2)));
        EXPECT_LT(fresh.reads, 20); // of sixty that the directory has
    }
}

/// A listing that is broken off after each entry goes on with the next.
TEST(Ext4, ListsInPieces) {
    start_machine();
    const Folder folder;
    fill(folder);
    ImageDisk disk(make_image(folder, "-b 1024", 6144));
    auto volume = MUST(ext4::Volume::open(*disk.pages, disk.bytes.size(), "image"));
    const auto root = MUST(volume->read_inode(ext4::root_inode));
    const auto many = MUST(volume->read_inode(MUST(ext4::Directory(*volume, root).find("many"))));
    std::map<std::string, int> seen;
    u64 position = 0;
    for (bool went_on = true; went_on;) {
        went_on = false;
        EXPECT_TRUE(ext4::Directory(*volume, many).list(position, [&](const ext4::Entry& entry) {
            if (went_on) return false;
            went_on = true;
            ++seen[std::string(entry.name)];
            EXPECT_GT(entry.position, position);
            position = entry.position;
            return true;
        }));
    }
    EXPECT_EQ(seen.size(), 300u);
    for (const auto& [name, times] : seen) EXPECT_EQ(times, 1) << name;
}

TEST(Ext4, ChecksumsTellOfDamage) {
    start_machine();
    const Folder folder;
    fill(folder);
    const auto image = make_image(folder, "-b 1024", 6144);
    u32 root_block, table_block;
    {
        ImageDisk disk(image);
        auto volume = MUST(ext4::Volume::open(*disk.pages, disk.bytes.size(), "image"));
        const auto root = MUST(volume->read_inode(ext4::root_inode));
        root_block = static_cast<u32>(MUST(ext4::map_blocks(*volume, root, 0, 1)).first);
        std::memcpy(&table_block, image.data() + 2 * 1024 + offsetof(ext4::GroupDescriptor, inode_table_low), 4);
    }
    const usize places[] = {
        ext4::superblock_offset + offsetof(ext4::Superblock, volume_name), // nothing else looks at it
        2 * 1024 + offsetof(ext4::GroupDescriptor, free_inodes_low),
        table_block * usize{1024} + 256 + offsetof(ext4::RawInode, access_time), // of the root
        root_block * usize{1024} + 500,
    };
    for (usize place : places) {
        auto damaged = image;
        damaged[place] ^= 1;
        ImageDisk disk(std::move(damaged));
        EXPECT_EQ(read_all(disk).error(), Errno::EBADMSG) << place;
    }
}

TEST(Ext4, DirectoriesLargerThanTheDiskAreDamage) {
    start_machine();
    const Folder folder;
    auto image = make_image(folder, "-b 1024 -O ^metadata_csum", 1024);
    u32 table_block;
    std::memcpy(&table_block, image.data() + 2 * 1024 + offsetof(ext4::GroupDescriptor, inode_table_low), 4);
    image[table_block * usize{1024} + 256 + offsetof(ext4::RawInode, size_high)] = 1;
    ImageDisk disk(std::move(image));
    auto volume = MUST(ext4::Volume::open(*disk.pages, disk.bytes.size(), "image"));
    const auto root = MUST(volume->read_inode(ext4::root_inode));
    EXPECT_EQ(ext4::Directory(*volume, root).find("name").error(), Errno::EUCLEAN);
}

TEST(Ext4, RefusesWhatItDoesNotKnow) {
    start_machine();
    const Folder folder;
    const auto image = make_image(folder, "-b 1024 -O ^metadata_csum", 1024);
    auto opened = [&](usize offset, u32 bit) {
        auto changed = image;
        changed[ext4::superblock_offset + offset + bit / 8] |= static_cast<u8>(1 << bit % 8);
        ImageDisk disk(std::move(changed));
        return ext4::Volume::open(*disk.pages, disk.bytes.size(), "image").has_value();
    };
    EXPECT_FALSE(opened(offsetof(ext4::Superblock, feature_incompat), 16)); // encrypt
    EXPECT_FALSE(opened(offsetof(ext4::Superblock, feature_incompat), 31));
    EXPECT_TRUE(opened(offsetof(ext4::Superblock, feature_ro_compat), 31));
    EXPECT_TRUE(opened(offsetof(ext4::Superblock, feature_compat), 31));
}

TEST(Ext4, DamageIsAnErrorAndNoMore) {
    start_machine();
    const Folder folder;
    fill(folder);
    std::mt19937 random(4711);
    const Usage before = usage();
    int opened = 0;
    // Without checksums damage gets further; with them the checks of the checksums are what is met.
    for (const char* shape : {"-b 1024 -O ^metadata_csum", "-b 4096 -O inline_data,^metadata_csum -I 256",
                              "-b 1024 -O ^extents,^64bit,^metadata_csum", "-b 1024"}) {
        const auto image = make_image(folder, shape, 3072);
        for (int round = steps(300, 30); round > 0; --round) {
            auto hurt = image;
            // Mostly metadata: the first half megabyte has the superblock, descriptors, inodes and directories.
            for (int changes = 1 + static_cast<int>(random() % 24); changes > 0; --changes) {
                const usize place = random() % 4 ? random() % (512 * 1024) : 1024 + random() % 3072;
                hurt[place] = static_cast<u8>(random() % 3 ? random() : random() % 2 ? 0xff : 0);
            }
            ImageDisk disk(std::move(hurt));
            opened += read_all(disk) ? 1 : 0;
        }
    }
    EXPECT_GT(opened, 0);
    EXPECT_EQ(usage(), before);
}

} // namespace
} // namespace linnet::test
