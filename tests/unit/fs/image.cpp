#include "image.hpp"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>

namespace linnet::test {

namespace files = std::filesystem;

Folder::Folder() {
    std::string name = (files::temp_directory_path() / "linnet-image-XXXXXX").string();
    EXPECT_NE(mkdtemp(name.data()), nullptr);
    path_ = name;
}
Folder::~Folder() { files::remove_all(path_); }

void Folder::write(const std::string& name, const std::string& text) const {
    std::ofstream(path_ + "/" + name, std::ios::binary) << text;
}
void Folder::make_directory(const std::string& name) const { files::create_directory(path_ + "/" + name); }

namespace {

std::vector<u8> bytes_of(const std::string& path) {
    std::vector<u8> bytes(files::file_size(path));
    std::ifstream(path, std::ios::binary)
        .read(reinterpret_cast<char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
    return bytes;
}

/// Calls one of e2fsprogs' programs, which is to succeed; otherwise what it prints is shown.
void call(const std::string& command, const std::string& log) {
    const std::string whole = "PATH=$PATH:/usr/sbin:/sbin " + command + " > " + log + " 2>&1";
    const int status = std::system(whole.c_str());
    const auto output = bytes_of(log);
    EXPECT_EQ(status, 0) << command << "\n" << std::string(output.begin(), output.end());
}

} // namespace

std::vector<u8> make_image(const Folder& contents, const std::string& options, unsigned kilobytes) {
    const Folder home;
    const std::string image = home.path() + "/image";
    call("mke2fs -q -F -t ext4 -N 512 -d " + contents.path() + " " + options + " " + image + " " +
             std::to_string(kilobytes) + "k",
         home.path() + "/log");
    return bytes_of(image);
}

std::vector<u8> changed_by(const std::vector<u8>& image, const std::string& command) {
    const Folder home;
    const std::string path = home.path() + "/image";
    std::ofstream(path, std::ios::binary)
        .write(reinterpret_cast<const char*>(image.data()), static_cast<std::streamsize>(image.size()));
    call(command + " " + path, home.path() + "/log");
    return bytes_of(path);
}

bool is_clean(const std::vector<u8>& image) { return changed_by(image, "e2fsck -f -n") == image; }

ImageDisk::ImageDisk(std::vector<u8> image)
    : bytes(std::move(image)), pages(MUST(mm::FileObject::create(*this, bytes.size()))) {}

Result<void> ImageDisk::read_page(u64 index, mm::Page& page) {
    ++reads;
    auto* to = static_cast<u8*>(mm::page_data(page));
    const u64 begin = std::min<u64>(index << arch::page_shift, bytes.size());
    const usize length = std::min<u64>(arch::page_size, bytes.size() - begin);
    std::memcpy(to, bytes.data() + begin, length);
    std::memset(to + length, 0, arch::page_size - length);
    return {};
}

Result<void> ImageDisk::write_page(u64 index, mm::Page& page) {
    const u64 begin = std::min<u64>(index << arch::page_shift, bytes.size());
    std::memcpy(bytes.data() + begin, mm::page_data(page), std::min<u64>(arch::page_size, bytes.size() - begin));
    return {};
}

const std::vector<u8>& ImageDisk::stored() {
    MUST(pages->write_back(0, bytes.size()));
    return bytes;
}

Result<void> ImageWriter::call() {
    if (calls++ == fails_at) return error(Errno::EIO);
    return {};
}

Result<ext4::MutableBlock> ImageWriter::change(u64 block) {
    TRY(call());
    const u64 offset = block * block_size;
    EXPECT_LE(offset + block_size, disk.bytes.size());
    forgotten.erase(block);
    return ext4::MutableBlock(TRY(disk.pages->get_page(offset >> arch::page_shift, arch::Access::Write)),
                              offset & (arch::page_size - 1), block_size);
}

Result<ext4::MutableBlock> ImageWriter::fresh(u64 block) {
    ext4::MutableBlock result = TRY(change(block));
    std::memset(result.bytes().data(), 0, block_size);
    return result;
}

Result<void> ImageWriter::prepare_to_forget(u64 count) {
    TRY(call());
    to_forget += count;
    return {};
}

void ImageWriter::forget(u64 block, u64 count) {
    VERIFY(count <= to_forget);
    to_forget -= count;
    for (u64 i = 0; i < count; ++i) forgotten.insert(block + i);
}

} // namespace linnet::test
