// The toolkit of generated file systems (/proc, /sys): nodes whose contents are made when somebody looks.
//
// A FileSystem has one superblock and one tree, however often it is mounted. Rooms add what they know to the
// trees named at the end of this file; nothing here knows what the files mean.
//
// Lock: Directory::children_lock_ (a leaf) guards a directory's list of children. Generators run without any
// lock of the toolkit but that of the open file that reads.
#pragma once

#include <lib/format.hpp>
#include <vfs/file.hpp>
#include <vfs/inode.hpp>
#include <vfs/superblock.hpp>

namespace linnet::vfs::pseudo {

class Directory;

class FileSystem : public FileSystemType {
public:
    /// `file_block`: what stat(2) says of its files, by which the C library sizes its buffers.
    constexpr FileSystem(const char* name, u32 magic, u32 file_block = arch::page_size)
        : name_(name), magic_(magic), file_block_(file_block) {}
    /// Makes the superblock with an empty root; once, before anything is added.
    Result<void> initialise();
    [[nodiscard]] SuperBlock& superblock() const { return *superblock_; }
    [[nodiscard]] Directory& root() const { return *root_; }
    [[nodiscard]] u32 magic() const { return magic_; }
    [[nodiscard]] u32 file_block() const { return file_block_; }
    /// Inode numbers of nodes that don't care which they have.
    u64 next_inode_number() { return next_number_.fetch_add(1, std::memory_order_relaxed); }

    const char* name() const override { return name_; }
    Result<RefPtr<SuperBlock>> mount(const MountSource& source) override;
    /// The options of a remount; all mounts have them then. EINVAL: there is no such option, as there is none here.
    virtual Result<void> remount(std::string_view options);

private:
    const char* name_;
    const u32 magic_;
    const u32 file_block_;
    std::atomic<u64> next_number_{1};
    NullableRefPtr<SuperBlock> superblock_;
    NullableRefPtr<Directory> root_;
};

/// Any object of a generated tree.
class Node : public Inode {
public:
    bool is_still_valid() override { return !removed_.load(std::memory_order_acquire); }
    /// Its name was taken away; a cached dentry no longer leads here.
    void mark_removed() { removed_.store(true, std::memory_order_release); }

protected:
    Node(SuperBlock& superblock, u64 number, u32 mode, u32 uid = 0, u32 gid = 0, DeviceNumber device = {})
        : Inode(superblock, number, mode, uid, gid, device) {}

private:
    std::atomic<bool> removed_{false};
};

/// A file of generated text. The text is made anew by every read at offset 0; reads further on continue in
/// the text that the open file keeps, so that a reader of small pieces sees one state. A list that may be long is made
/// in parts, as far as somebody reads it.
class TextNode : public Node {
public:
    static constexpr usize text_limit = 16 << 20;
    static constexpr usize store_limit = 4096;

    virtual Result<void> show(TextSink sink) = 0;
    /// The part that begins at `from`, which is 0 or what the part before returned; 0 when there is no more.
    virtual Result<u64> show_part(u64 /*from*/, TextSink sink) {
        TRY(show(sink));
        return 0;
    }
    /// One write(2), as text with its trailing newline. EINVAL by default.
    virtual Result<void> store(std::string_view text);
    /// Asked when the file is opened.
    virtual Result<void> check_open(u32 /*flags*/) { return {}; }
    Result<RefPtr<File>> open(const Path& path, u32 flags) override;
    /// Opening a knob with O_TRUNC, as shells do, changes nothing.
    Result<void> truncate(u64) override { return {}; }

protected:
    using Node::Node;
};

/// Function forms, for files that need no object of their own.
using Show = Result<void> (*)(TextSink sink);
using Store = Result<void> (*)(std::string_view text);

/// A directory with named children, which may come and go, and optionally generated ones behind them.
class Directory : public Node {
public:
    /// What is not in the list: /proc's numbers.
    class Generated {
    public:
        virtual Result<RefPtr<Inode>> lookup(std::string_view name) = 0;
        /// Positions given are at least `first_generated_position`.
        virtual Result<void> list(u64 position, DirectorySink sink) = 0;

    protected:
        ~Generated() = default;
    };
    static constexpr u64 first_generated_position = 1 << 20;

    static Result<RefPtr<Directory>> create(FileSystem& file_system, u32 permissions = 0555);

    /// Adds a child. EEXIST, ENOMEM.
    Result<void> add(std::string_view name, RefPtr<Node> node);
    Result<void> add_text(std::string_view name, Show show, u32 permissions = 0444, Store store = nullptr);
    Result<void> add_symlink(std::string_view name, std::string_view target);
    /// The directory of that name, made when there is none. ENOTDIR.
    Result<RefPtr<Directory>> add_directory(std::string_view name, u32 permissions = 0555);
    /// The same for several levels: "class/tty".
    Result<RefPtr<Directory>> add_path(std::string_view path);
    /// ENOENT.
    Result<void> remove(std::string_view name);
    void set_generated(Generated& generated) { generated_ = &generated; }

    Result<RefPtr<Inode>> lookup(std::string_view name) override;
    Result<void> read_directory(u64 position, DirectorySink sink) override;
    [[nodiscard]] FileSystem& file_system() const { return file_system_; }

private:
    static constexpr usize max_name = 40;
    struct Child {
        NullableRefPtr<Node> node;
        u64 position = 0;
        u8 length = 0;
        char name[max_name] = {};
        [[nodiscard]] std::string_view text() const { return {name, length}; }
    };
    Directory(FileSystem& file_system, u32 permissions);
    Child* find_locked(std::string_view name);

    FileSystem& file_system_;
    core::Mutex children_lock_;
    ArrayList<Child> children_;
    u64 next_position_ = 3;
    Generated* generated_ = nullptr;
};

Result<RefPtr<Node>> create_text(FileSystem& file_system, Show show, u32 permissions, Store store = nullptr);
Result<RefPtr<Node>> create_symlink(FileSystem& file_system, std::string_view target);

/// The trees that rooms add to. proc also shows processes, sys devices and kernel objects.
FileSystem& proc();
FileSystem& sys();
/// Makes and registers both; after vfs::initialise(), before drivers probe.
Result<void> initialise();

/// Parses a number as a knob takes it: decimal or 0x, white space around. EINVAL, ERANGE above `maximum`.
Result<u64> parse_number(std::string_view text, u64 maximum = ~u64{0});

} // namespace linnet::vfs::pseudo
