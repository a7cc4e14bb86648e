// Images of file systems for host tests: made by mke2fs, held in memory, and read by the kernel's page cache.
#pragma once

#include "metadata_writer.hpp"
#include <mm/page_cache.hpp>
#include <set>
#include <string>
#include <vector>

namespace linnet::test {

/// A folder that is gone at the end of the test.
class Folder {
public:
    Folder();
    ~Folder();
    Folder(const Folder&) = delete;
    [[nodiscard]] const std::string& path() const { return path_; }
    void write(const std::string& name, const std::string& text) const;
    void make_directory(const std::string& name) const;

private:
    std::string path_;
};

/// The bytes of an image that mke2fs makes of a folder. `options` are words for mke2fs.
std::vector<u8> make_image(const Folder& contents, const std::string& options, unsigned kilobytes);

/// What `command` (with the image's file behind it) makes of an image; it is to succeed.
std::vector<u8> changed_by(const std::vector<u8>& image, const std::string& command);
/// Whether e2fsck has nothing to say against an image.
bool is_clean(const std::vector<u8>& image);

/// A disk with an image on it.
struct ImageDisk final : mm::PageSource {
    std::vector<u8> bytes;
    RefPtr<mm::FileObject> pages;
    int reads = 0; // of pages

    explicit ImageDisk(std::vector<u8> image);
    ~ImageDisk() { pages->detach(); }
    /// The bytes, once what was changed in the page cache is in them.
    const std::vector<u8>& stored();
    Result<void> read_page(u64 index, mm::Page& page) override;
    Result<void> write_page(u64 index, mm::Page& page) override;
};

/// Changes go straight to the pages of the disk. Can be told to fail.
struct ImageWriter final : ext4::MetadataWriter {
    ImageDisk& disk;
    u32 block_size;
    u64 number = 1;    // of the transaction
    u64 committed = 0; // the last that has been
    int calls = 0;     // in which something could fail
    int fails_at = -1; // the number of the call that does, once
    std::set<u64> forgotten;
    u64 to_forget = 0; // what may still be, with nothing that could fail

    ImageWriter(ImageDisk& image, const ext4::Volume& volume) : disk(image), block_size(volume.block_size()) {}
    Result<ext4::MutableBlock> change(u64 block) override;
    Result<ext4::MutableBlock> fresh(u64 block) override;
    Result<void> prepare_to_forget(u64 count) override;
    void forget(u64 block, u64 count) override;
    [[nodiscard]] u64 transaction() const override { return number; }
    [[nodiscard]] u64 last_committed() const override { return committed; }

private:
    Result<void> call();
};

} // namespace linnet::test
