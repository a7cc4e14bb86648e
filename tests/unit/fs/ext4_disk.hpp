// An ext4 image that is open to be changed.
#pragma once

#include "allocator.hpp"
#include "image.hpp"

namespace linnet::test {

struct Ext4Disk {
    ImageDisk image;
    OwnPtr<ext4::Volume> volume;
    OwnPtr<ext4::Allocator> allocator;
    ImageWriter writer;

    explicit Ext4Disk(const std::vector<u8>& bytes)
        : image(bytes), volume(MUST(ext4::Volume::open(*image.pages, image.bytes.size(), "image"))),
          allocator(MUST(ext4::Allocator::create(*volume))), writer(image, *volume) {}
    /// What e2fsck thinks of it.
    bool is_clean() {
        MUST(allocator->store_totals(writer));
        return test::is_clean(image.stored());
    }
    Result<void> free(const ext4::Run& run) {
        ext4::BlockFreeing freeing(*allocator, writer);
        TRY(freeing.add(run.first, run.count, ext4::BlockContents::Data));
        return freeing.finish();
    }
};

} // namespace linnet::test
