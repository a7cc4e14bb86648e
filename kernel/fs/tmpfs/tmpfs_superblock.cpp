// tmpfs instances: options, limits, statistics, registration.
#include "tmpfs_superblock.hpp"

#include <abi/linux/fs.hpp>
#include <algorithm>
#include <core/random.hpp>
#include <fs/tmpfs.hpp>
#include <mm/statistics.hpp>
#include <vfs/current.hpp>
#include <vfs/file.hpp>
#include <vfs/memory_file.hpp>

namespace linnet::fs {

namespace {

struct Number {
    u64 value;
    std::string_view rest;
};

Result<Number> parse_number(std::string_view text, unsigned base) {
    u64 value = 0;
    usize i = 0;
    for (; i < text.size(); ++i) {
        unsigned digit = static_cast<unsigned char>(text[i]) - '0';
        if (digit >= base) break;
        if (__builtin_mul_overflow(value, base, &value) || __builtin_add_overflow(value, digit, &value))
            return error(Errno::EINVAL);
    }
    if (i == 0) return error(Errno::EINVAL);
    return Number{value, text.substr(i)};
}

Result<u64> parse_plain(std::string_view text, unsigned base) {
    Number number = TRY(parse_number(text, base));
    if (!number.rest.empty()) return error(Errno::EINVAL);
    return number.value;
}

/// A number with k, m, g, t, p or e behind it, or with % of RAM where `percent_of` is not 0.
Result<u64> parse_scaled(std::string_view text, u64 percent_of) {
    Number number = TRY(parse_number(text, 10));
    if (number.rest.empty()) return number.value;
    if (number.rest.size() > 1) return error(Errno::EINVAL);
    if (number.rest[0] == '%' && percent_of) return percent_of / 100 * number.value;
    constexpr std::string_view suffixes = "kmgtpe";
    usize power = suffixes.find(static_cast<char>(number.rest[0] | 0x20));
    if (power == std::string_view::npos) return error(Errno::EINVAL);
    u64 result;
    if (__builtin_mul_overflow(number.value, u64{1} << (10 * (power + 1)), &result)) return error(Errno::EINVAL);
    return result;
}

u64 total_pages() { return mm::memory_statistics().total; }

} // namespace

Result<void> TmpfsOptions::parse(std::string_view text) {
    while (!text.empty()) {
        usize end = text.find(',');
        std::string_view word = text.substr(0, end);
        text = end == std::string_view::npos ? std::string_view{} : text.substr(end + 1);
        if (word.empty()) continue;
        usize equals = word.find('=');
        std::string_view key = word.substr(0, equals);
        std::string_view value = equals == std::string_view::npos ? std::string_view{} : word.substr(equals + 1);
        if (key == "size") {
            u64 bytes = TRY(parse_scaled(value, total_pages() << arch::page_shift));
            pages = bytes / arch::page_size + (bytes % arch::page_size != 0);
            size_given = true;
        } else if (key == "nr_blocks") {
            pages = TRY(parse_scaled(value, 0));
            size_given = true;
        } else if (key == "nr_inodes") {
            inodes = TRY(parse_scaled(value, 0));
            inodes_given = true;
        } else if (key == "mode") {
            mode = static_cast<u32>(TRY(parse_plain(value, 8))) & abi::S_IALLUGO;
        } else if (key == "uid") {
            uid = static_cast<u32>(TRY(parse_plain(value, 10)));
        } else if (key == "gid") {
            gid = static_cast<u32>(TRY(parse_plain(value, 10)));
        } else if (word == "huge=never" || word == "noswap" || word == "inode64" || word == "mpol=default") {
            // What is the case anyway.
        } else {
            return error(Errno::EINVAL);
        }
    }
    return {};
}

TmpfsSuperBlock::TmpfsSuperBlock(vfs::FileSystemType& type, RefPtr<TmpfsAccounting> accounting,
                                 const TmpfsOptions& options, Limits limits)
    : SuperBlock(type, vfs::allocate_anonymous_device()), accounting_(std::move(accounting)), options_(options),
      limits_(limits) {
    block_size_ = arch::page_size;
    keeps_acls_ = true;
}

Result<RefPtr<TmpfsSuperBlock>> TmpfsSuperBlock::create(vfs::FileSystemType& type, const TmpfsOptions& options,
                                                        Limits limits) {
    auto accounting = adopt_ref(*TRY(try_make<TmpfsAccounting>()).release());
    // Without a limit of its own an instance still leaves the kernel some memory to live on.
    u64 unlimited = total_pages() - total_pages() / 16;
    accounting->pages.set_limit(options.pages ? options.pages : unlimited);
    accounting->inodes.set_limit(options.inodes ? options.inodes : total_pages() * 4);
    auto* superblock = new (std::nothrow) TmpfsSuperBlock(type, std::move(accounting), options, limits);
    if (!superblock) return error(Errno::ENOMEM);
    auto result = adopt_ref(*superblock);
    vfs::CreateRequest root;
    root.mode = abi::S_IFDIR | options.mode;
    root.uid = options.uid;
    root.gid = options.gid;
    TRY(superblock->set_root(TRY(superblock->make_inode(root))));
    return result;
}

Result<RefPtr<TmpfsInode>> TmpfsSuperBlock::make_inode(const vfs::CreateRequest& request) {
    TRY(accounting_->inodes.charge(1));
    // From here on the inode's destructor gives the charge back; failures before there is one do it
    // themselves.
    ScopeGuard uncharge([&] { accounting_->inodes.give_back(1); });
    NullableRefPtr<TmpfsInode> made;
    switch (request.mode & abi::S_IFMT) {
    case abi::S_IFREG:
        made = TRY(TmpfsFile::create(*this, request));
        break;
    case abi::S_IFLNK:
        made = TRY(TmpfsSymlink::create(*this, request));
        break;
    case abi::S_IFDIR:
        made = NullableRefPtr<TmpfsInode>::adopt(new (std::nothrow) TmpfsDirectory(*this, request));
        break;
    default:
        made = NullableRefPtr<TmpfsInode>::adopt(new (std::nothrow) TmpfsInode(*this, request));
        break;
    }
    if (!made) return error(Errno::ENOMEM);
    uncharge.dismiss();
    return RefPtr<TmpfsInode>(std::move(made));
}

Result<vfs::FileHandle> TmpfsSuperBlock::handle_of(vfs::Inode& inode) {
    auto& ours = static_cast<TmpfsInode&>(inode);
    const u32 generation = static_cast<u32>(core::random_u64());
    core::SpinGuard guard(handles_lock_);
    if (!ours.has_handle) {
        ours.handle_generation = generation;
        ours.has_handle = true;
        handles_.insert(ours);
    }
    const u64 number = inode.number();
    return vfs::FileHandle{vfs::FileHandle::number32_generation,
                           3,
                           {ours.handle_generation, static_cast<u32>(number), static_cast<u32>(number >> 32)}};
}

Result<RefPtr<vfs::Inode>> TmpfsSuperBlock::inode_of(const vfs::FileHandle& handle) {
    // The type is not looked at: nor does Linux's tmpfs.
    if (handle.word_count < 3) return error(Errno::ESTALE);
    const u64 number = handle.words[1] | u64{handle.words[2]} << 32;
    core::SpinGuard guard(handles_lock_);
    auto it = handles_.find(number);
    if (it == handles_.end() || it->handle_generation != handle.words[0] || !it->try_ref()) return error(Errno::ESTALE);
    return RefPtr<vfs::Inode>::adopt(*it);
}

void TmpfsSuperBlock::forget_handle(TmpfsInode& inode) {
    core::SpinGuard guard(handles_lock_);
    handles_.erase(handles_.iterator_to(inode));
}

Result<vfs::FileSystemStatistics> TmpfsSuperBlock::statistics() {
    vfs::FileSystemStatistics result;
    result.magic = limits_ == Limits::Shown ? abi::TMPFS_MAGIC : abi::RAMFS_MAGIC;
    result.block_size = arch::page_size;
    if (limits_ == Limits::Hidden) return result;
    result.blocks = accounting_->pages.limit();
    result.blocks_free = result.blocks_available = accounting_->pages.available();
    result.files = accounting_->inodes.limit();
    result.files_free = accounting_->inodes.available();
    return result;
}

Result<void> TmpfsSuperBlock::remount(std::string_view text, bool) {
    TmpfsOptions wanted = options_;
    wanted.size_given = wanted.inodes_given = false;
    TRY(wanted.parse(text));
    if (wanted.size_given && wanted.pages && wanted.pages < accounting_->pages.used()) return error(Errno::EINVAL);
    if (wanted.inodes_given && wanted.inodes && wanted.inodes < accounting_->inodes.used()) return error(Errno::EINVAL);
    if (wanted.size_given && wanted.pages) accounting_->pages.set_limit(wanted.pages);
    if (wanted.inodes_given && wanted.inodes) accounting_->inodes.set_limit(wanted.inodes);
    options_ = wanted;
    return {};
}

void TmpfsSuperBlock::show_options(TextSink sink) {
    if (limits_ == Limits::Hidden) return;
    format_to(sink, ",size={}k", accounting_->pages.limit() << (arch::page_shift - 10));
    if (options_.inodes_given) format_to(sink, ",nr_inodes={}", accounting_->inodes.limit());
    u32 mode = options_.mode;
    if (mode != 01777) {
        char digits[4] = {static_cast<char>('0' + (mode >> 9)), static_cast<char>('0' + ((mode >> 6) & 7)),
                          static_cast<char>('0' + ((mode >> 3) & 7)), static_cast<char>('0' + (mode & 7))};
        std::string_view text(digits, 4);
        format_to(sink, ",mode={}", mode >> 9 ? text : text.substr(1));
    }
    if (options_.uid) format_to(sink, ",uid={}", options_.uid);
    if (options_.gid) format_to(sink, ",gid={}", options_.gid);
}

namespace {

class TmpfsType final : public vfs::FileSystemType {
public:
    const char* name() const override { return "tmpfs"; }
    Result<RefPtr<vfs::SuperBlock>> mount(const vfs::MountSource& source) override {
        TmpfsOptions options;
        TRY(options.parse(source.options));
        if (!options.size_given) options.pages = total_pages() / 2;
        if (!options.inodes_given) options.inodes = total_pages() / 2;
        return TRY(TmpfsSuperBlock::create(*this, options, Limits::Shown));
    }
};

/// ramfs, and rootfs, which is one: no limits, nothing to see in statfs.
class RamfsType final : public vfs::FileSystemType {
public:
    constexpr explicit RamfsType(const char* name) : name_(name) {}
    const char* name() const override { return name_; }
    Result<RefPtr<vfs::SuperBlock>> mount(const vfs::MountSource& source) override {
        TmpfsOptions options;
        options.mode = 0755;
        TRY(options.parse(source.options));
        return TRY(TmpfsSuperBlock::create(*this, options, Limits::Hidden));
    }

private:
    const char* name_;
};

[[clang::no_destroy]] constinit TmpfsType tmpfs_type;
[[clang::no_destroy]] constinit RamfsType ramfs_type{"ramfs"};
[[clang::no_destroy]] constinit RamfsType rootfs_type{"rootfs"};
/// Never mounted: home of memfd files.
constinit TmpfsSuperBlock* memory_files = nullptr;

} // namespace

Result<void> register_tmpfs() {
    TRY(vfs::register_file_system(rootfs_type));
    TRY(vfs::register_file_system(ramfs_type));
    TRY(vfs::register_file_system(tmpfs_type));
    memory_files = TRY(TmpfsSuperBlock::create(tmpfs_type, TmpfsOptions{}, Limits::Hidden)).release();
    memory_files->keep_in_kernel();
    return {};
}

Result<RefPtr<vfs::File>> create_memory_file(std::string_view name, u32 flags, u64 size) {
    const vfs::Credentials& who = vfs::current_credentials();
    vfs::CreateRequest request;
    request.mode = abi::S_IFREG | abi::S_IRWXUGO;
    request.uid = who.fsuid;
    request.gid = who.fsgid;
    RefPtr<TmpfsInode> inode = TRY(memory_files->make_inode(request));
    inode->add_links(-1);
    if (size) {
        core::WriteGuard guard(inode->lock);
        TRY(inode->truncate(size));
    }
    return vfs::create_memory_file(std::move(inode), name, flags);
}

} // namespace linnet::fs
