// Extended attributes come and go: what is listed is what a model says, and e2fsck agrees.
#include "../mm/machine.hpp"
#include "attribute_edit.hpp"
#include "attribute_entries.hpp"
#include "attributes.hpp"
#include "directory.hpp"
#include "ext4_disk.hpp"
#include "mutate.hpp"

#include <gtest/gtest.h>
#include <map>

namespace linnet::test {
namespace {

using ext4::AttributeMode;
using Model = std::map<std::string, std::string>;

constexpr const char* shapes[] = {
    "-b 1024",
    "-b 4096",
    "-b 1024 -I 128 -O ^metadata_csum,^64bit",
    "-b 1024 -I 512 -O ^ext_attr",
};

std::vector<u8> image_of(const char* shape, unsigned kilobytes = 4096) {
    const Folder folder;
    folder.write("file", "");
    folder.write("other", "");
    return make_image(folder, shape, kilobytes);
}

class File {
public:
    File(Ext4Disk& disk, const char* name) : disk_(disk) {
        const auto root = MUST(disk.volume->read_inode(ext4::root_inode));
        inode = MUST(disk.volume->read_inode(MUST(ext4::Directory(*disk.volume, root).find(name))));
    }
    ext4::InodeEdit edit() { return {*disk_.allocator, disk_.writer, inode}; }
    Result<void> set(const std::string& name, const std::string& value,
                     AttributeMode mode = AttributeMode::CreateOrReplace) {
        const std::span<const u8> bytes(reinterpret_cast<const u8*>(value.data()), value.size());
        TRY(ext4::set_attribute(edit(), name, bytes, mode));
        model[name] = value;
        return {};
    }
    Result<void> remove(const std::string& name) {
        TRY(ext4::remove_attribute(edit(), name));
        model.erase(name);
        return {};
    }
    void check() {
        Model seen;
        MUST(ext4::list_attributes(*disk_.volume, inode, [&](const ext4::Attribute& attribute) {
            std::string name(attribute.prefix);
            name += attribute.name;
            const std::string value(reinterpret_cast<const char*>(attribute.value.data()), attribute.value.size());
            EXPECT_TRUE(seen.emplace(name, value).second) << name;
            return true;
        }));
        ASSERT_EQ(seen, model);
    }
    void store() { MUST(ext4::write_inode(*disk_.volume, disk_.writer, inode)); }
    [[nodiscard]] bool has_block() const { return inode.raw.attributes_low != 0; }

    Model model;
    ext4::DiskInode inode;

private:
    Ext4Disk& disk_;
};

std::string some_text(std::mt19937& random, usize most) {
    std::string text(random() % (most + 1), '\0');
    for (char& c : text) c = static_cast<char>(random());
    return text;
}

/// Something that may happen to a file's attributes; ENOSPC is no failure.
Result<void> change_somehow(File& file, std::mt19937& random) {
    constexpr const char* prefixes[] = {"user.", "trusted.", "security."};
    const std::string name =
        prefixes[random() % 3] + std::string(1 + random() % 9, static_cast<char>('a' + random() % 4));
    Result<void> done;
    if (random() % 3)
        done = file.set(name, some_text(random, random() % 5 ? 40 : 900));
    else if (file.model.contains(name))
        done = file.remove(name);
    if (!done && done.error() == Errno::ENOSPC) return {};
    return done;
}

TEST(Ext4Attributes, ComeAndGo) {
    start_machine();
    std::mt19937 random(61);
    for (const char* shape : shapes) {
        SCOPED_TRACE(shape);
        Ext4Disk disk(image_of(shape));
        const auto before = disk.allocator->free_counts();
        File file(disk, "file");
        int with_block = 0;
        for (int i = 0; i < 1500; ++i) {
            ASSERT_TRUE(change_somehow(file, random));
            file.check();
            with_block += file.has_block() ? 1 : 0;
            disk.writer.committed = disk.writer.number++;
            if (i % 300 == 0) {
                file.store();
                ASSERT_TRUE(disk.is_clean());
            }
        }
        EXPECT_GT(with_block, 100);
        file.store();
        ASSERT_TRUE(disk.is_clean());
        while (!file.model.empty()) ASSERT_TRUE(file.remove(file.model.begin()->first));
        file.check();
        file.store();
        EXPECT_TRUE(disk.is_clean());
        EXPECT_EQ(disk.allocator->free_counts().blocks, before.blocks);
    }
}

TEST(Ext4Attributes, ErrorsAreThoseOfLinux) {
    start_machine();
    Ext4Disk disk(image_of(shapes[0]));
    File file(disk, "file");
    EXPECT_TRUE(file.set("user.a", "1", AttributeMode::Create));
    EXPECT_EQ(file.set("user.a", "2", AttributeMode::Create).error(), Errno::EEXIST);
    EXPECT_TRUE(file.set("user.a", "2", AttributeMode::Replace));
    EXPECT_EQ(file.set("user.b", "2", AttributeMode::Replace).error(), Errno::ENODATA);
    EXPECT_EQ(file.remove("user.b").error(), Errno::ENODATA);
    EXPECT_EQ(file.set("system.data", "2").error(), Errno::EOPNOTSUPP);
    EXPECT_EQ(file.set("other.a", "2").error(), Errno::EOPNOTSUPP);
    EXPECT_EQ(file.set("user.", "2").error(), Errno::EINVAL);
    EXPECT_EQ(file.set("user." + std::string(256, 'x'), "2").error(), Errno::ERANGE);
    EXPECT_TRUE(file.set("user." + std::string(255, 'x'), "2"));
    EXPECT_EQ(file.set("user.b", std::string(1000, 'x')).error(), Errno::ENOSPC);
    EXPECT_EQ(file.set("user.b", std::string(65'536, 'x')).error(), Errno::ENOSPC);
    EXPECT_TRUE(file.set("user.empty", ""));
    file.check();
    file.store();
    EXPECT_TRUE(disk.is_clean());
    while (disk.allocator->allocate_blocks(disk.writer, 0, 1000, ext4::Privilege::None)) {
    }
    File other(disk, "other");
    EXPECT_EQ(other.set("user.b", std::string(500, 'x')).error(), Errno::ENOSPC);
    EXPECT_TRUE(other.set("user.b", "short"));
    other.check();
}

TEST(Ext4Attributes, SharedBlocksStayToTheOthers) {
    start_machine();
    for (const char* shape : {"-b 1024", "-b 1024 -I 128 -O ^metadata_csum,^64bit"}) {
        Ext4Disk disk(image_of(shape));
        const auto before = disk.allocator->free_counts();
        File file(disk, "file"), other(disk, "other");
        ASSERT_TRUE(file.set("user.large", std::string(600, 'x')));
        ASSERT_TRUE(file.has_block());
        {
            auto block = MUST(disk.writer.change(file.inode.raw.attributes_low));
            auto& header = block.at<ext4::AttributeHeader>(0);
            header.reference_count = 2;
            if (disk.volume->has_checksums())
                header.checksum =
                    ext4::attribute_block_checksum(*disk.volume, file.inode.raw.attributes_low, block.bytes());
        }
        other.inode.raw.attributes_low = file.inode.raw.attributes_low;
        other.model = file.model;
        MUST(ext4::add_to_block_count(*disk.volume, other.inode, 1));
        file.store(), other.store();
        ASSERT_TRUE(disk.is_clean());
        ASSERT_TRUE(other.set("user.more", std::string(300, 'y')));
        file.check(), other.check();
        EXPECT_NE(other.inode.raw.attributes_low, file.inode.raw.attributes_low);
        file.store(), other.store();
        ASSERT_TRUE(disk.is_clean());
        MUST(ext4::free_attributes(other.edit()));
        MUST(ext4::free_attributes(file.edit()));
        file.store(), other.store();
        EXPECT_TRUE(disk.is_clean());
        EXPECT_EQ(disk.allocator->free_counts().blocks, before.blocks);
    }
}

TEST(Ext4Attributes, FailuresChangeNothing) {
    start_machine();
    for (const char* shape : shapes) {
        SCOPED_TRACE(shape);
        std::mt19937 random(5);
        Ext4Disk disk(image_of(shape));
        File file(disk, "file");
        int failures = 0;
        for (int i = 0; i < 400; ++i) {
            const auto seed = random();
            for (int failing = 0;; ++failing) {
                std::mt19937 again(seed);
                disk.writer.fails_at = disk.writer.calls + failing;
                const auto done = change_somehow(file, again);
                disk.writer.fails_at = -1;
                if (done) break;
                ASSERT_EQ(done.error(), Errno::EIO);
                file.check();
                ++failures;
                ASSERT_LT(failing, 100);
            }
            disk.writer.committed = disk.writer.number++;
        }
        EXPECT_GT(failures, 50);
        file.check();
        file.store();
        EXPECT_TRUE(disk.is_clean());
    }
}

TEST(Ext4Attributes, DamageIsAnErrorAndNoMore) {
    start_machine();
    std::mt19937 random(18);
    Ext4Disk disk(image_of("-b 1024 -O ^metadata_csum,^64bit"));
    File file(disk, "file");
    for (int i = 0; i < 10; ++i) ASSERT_TRUE(file.set("user." + std::string(1, static_cast<char>('a' + i)), "value"));
    ASSERT_TRUE(file.set("user.large", std::string(600, 'x')));
    const u32 number = file.inode.raw.attributes_low;
    const auto good_bytes = std::vector<u8>(file.inode.bytes.begin(), file.inode.bytes.end());
    const auto good_raw = file.inode.raw;
    auto block = MUST(disk.writer.change(number));
    const std::vector<u8> good_block(block.bytes().begin(), block.bytes().end());
    for (int round = steps(2000, 20); round > 0; --round) {
        std::ranges::copy(good_bytes, file.inode.bytes.begin());
        std::ranges::copy(good_block, block.bytes().begin());
        file.inode.raw = good_raw;
        for (int changes = 1 + static_cast<int>(random() % 5); changes > 0; --changes) {
            file.inode.bytes[128 + 32 + random() % 96] = static_cast<u8>(random());
            block.bytes()[random() % 200] = static_cast<u8>(random() % 2 ? random() : random() % 5);
        }
        (void)change_somehow(file, random);
        (void)ext4::remove_attribute(file.edit(), "user.large");
        (void)ext4::free_attributes(file.edit());
        if (!disk.allocator->allocate_blocks(disk.writer, number, 1, ext4::Privilege::None)) break;
        disk.writer.committed = disk.writer.number++;
    }
}

} // namespace
} // namespace linnet::test
