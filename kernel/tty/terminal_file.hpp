// The open files of terminals.
#pragma once

#include <tty/terminal.hpp>
#include <vfs/file.hpp>

namespace linnet::tty {

/// Console: opened through /dev/console; it survives hang-ups and is never a background process's business.
enum class FileKind : u8 { Ordinary, Console };

class TerminalFile final : public vfs::File {
public:
    TerminalFile(const vfs::Path& path, u32 flags, RefPtr<Terminal> terminal, FileKind kind);
    ~TerminalFile() override { terminal_->close_file(); }

    Result<usize> read(vfs::IoBuffer& to, u64 offset) override;
    Result<usize> write(vfs::IoBuffer& from, u64 offset) override;
    bool feeds_pipes() const override { return true; }
    bool takes_from_pipes() const override { return true; }
    Result<long> ioctl(u32 command, u64 argument) override;
    u32 poll() override;
    vfs::EventSource* event_source() override { return &terminal_->events(); }
    vfs::EventSource* async_source() override { return &terminal_->events(); }

private:
    [[nodiscard]] bool is_hung_up() const {
        return kind_ == FileKind::Ordinary && generation_ != terminal_->generation();
    }
    [[nodiscard]] vfs::Blocking blocking() const {
        return is_nonblocking() ? vfs::Blocking::Refuse : vfs::Blocking::Wait;
    }
    Result<LineDiscipline::ReadStep> read_chunk(std::span<u8> chunk, vfs::Blocking blocking, core::Deadline deadline);
    Result<void> write_chunk(std::span<const u8> chunk, usize& sent);

    RefPtr<Terminal> terminal_;
    const FileKind kind_;
    const u32 generation_;
};

/// Makes the file of an open(2), with what it does to the controlling terminal. EBUSY for a terminal in
/// exclusive use.
Result<RefPtr<vfs::File>> open_terminal(const vfs::Path& path, u32 flags, RefPtr<Terminal> terminal, FileKind kind);

/// The ioctls that both sides of a pty and every other terminal have. ENOTTY for an unknown one.
enum class Side : u8 { Terminal, PtyMaster };
Result<long> terminal_ioctl(Terminal& terminal, const vfs::File& file, Side side, u32 command, u64 argument);

} // namespace linnet::tty
