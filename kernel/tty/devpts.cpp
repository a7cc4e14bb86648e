// devpts: the directory of slave terminals. There is one instance, however often it is mounted; the options
// of the last mount count (mount(8), "Mount options for devpts"). It lives in this room because only here its
// nodes are known.
#include "pty.hpp"

#include <abi/linux/fs.hpp>
#include <abi/linux/stat.hpp>
#include <vfs/current.hpp>
#include <vfs/pseudo/node.hpp>

namespace linnet::tty {

namespace {

using vfs::pseudo::FileSystem;
using vfs::pseudo::Node;

class DevptsFileSystem final : public FileSystem {
public:
    constexpr DevptsFileSystem() : FileSystem("devpts", abi::DEVPTS_SUPER_MAGIC, 1024) {}
    Result<RefPtr<vfs::SuperBlock>> mount(const vfs::MountSource& source) override {
        TRY(parse_options(source.options));
        return FileSystem::mount(source);
    }
    Result<void> remount(std::string_view options) override { return parse_options(options); }

    std::atomic<u32> mode{0600};
    std::atomic<u32> gid{no_id}; // no_id: the opener's
    std::atomic<u32> uid{no_id};
    static constexpr u32 no_id = ~0u;

private:
    Result<void> parse_options(std::string_view options);
};

Result<u32> parse_octal(std::string_view text) {
    u32 value = 0;
    for (char c : text) {
        if (c < '0' || c > '7' || value > 0777) return error(Errno::EINVAL);
        value = value * 8 + static_cast<u32>(c - '0');
    }
    return value;
}

Result<void> DevptsFileSystem::parse_options(std::string_view options) {
    while (!options.empty()) {
        const std::string_view option = options.substr(0, options.find(','));
        options.remove_prefix(std::min(option.size() + 1, options.size()));
        const usize equals = option.find('=');
        const std::string_view name = option.substr(0, equals);
        const std::string_view value = equals == std::string_view::npos ? "" : option.substr(equals + 1);
        if (name == "mode")
            mode.store(TRY(parse_octal(value)) & 0777);
        else if (name == "gid")
            gid.store(static_cast<u32>(TRY(vfs::pseudo::parse_number(value, ~0u))));
        else if (name == "uid")
            uid.store(static_cast<u32>(TRY(vfs::pseudo::parse_number(value, ~0u))));
        else if (name != "ptmxmode" && name != "newinstance" && name != "max" && !name.empty())
            return error(Errno::EINVAL);
    }
    return {};
}

class TerminalNode final : public Node {
public:
    TerminalNode(vfs::SuperBlock& superblock, u64 inode, u32 permissions, u32 uid, u32 gid, vfs::DeviceNumber number)
        : Node(superblock, inode, abi::S_IFCHR | permissions, uid, gid, number) {}
};

[[clang::no_destroy]] constinit DevptsFileSystem devpts;

Result<void> add_node(std::string_view name, u64 inode, u32 permissions, u32 uid, u32 gid, vfs::DeviceNumber number) {
    auto* node = new (std::nothrow) TerminalNode(devpts.superblock(), inode, permissions, uid, gid, number);
    if (!node) return error(Errno::ENOMEM);
    return devpts.root().add(name, RefPtr<Node>::adopt(*node));
}

constexpr u64 first_slave_inode = 3; // as Linux numbers them

} // namespace

Result<void> register_devpts() {
    TRY(devpts.initialise());
    TRY(vfs::register_file_system(devpts));
    return add_node("ptmx", 2, 0, 0, 0, {5, 2});
}

Result<void> add_devpts_node(u32 number) {
    const vfs::Credentials& who = vfs::current_credentials();
    const u32 uid = devpts.uid.load() == DevptsFileSystem::no_id ? who.fsuid : devpts.uid.load();
    const u32 gid = devpts.gid.load() == DevptsFileSystem::no_id ? who.fsgid : devpts.gid.load();
    char name[12];
    return add_node(format_into(name, "{}", number), first_slave_inode + number, devpts.mode.load(), uid, gid,
                    {pts_major, number});
}

void remove_devpts_node(u32 number) {
    char name[12];
    (void)devpts.root().remove(format_into(name, "{}", number)); // it isn't there when its making failed
}

} // namespace linnet::tty
