// Pseudo-terminals (pty(7), pts(4)): the driver below a slave terminal, whose other end is the master's file.
//
// A pty lives as long as its slave Terminal, which the master's file, the slave's files and a session may
// hold. The master's end hangs the slave up and takes its name out of devpts.
//
// Locks: the slave's Terminal lock → Pty::lock_ (spinning: the ring to the master and packet state).
// registry_lock guards the numbers; a leaf.
#pragma once

#include <tty/terminal.hpp>
#include <vfs/file.hpp>

namespace linnet::tty {

class Pty final : public TerminalDriver {
public:
    static constexpr usize ring_capacity = 8192;
    /// The slave's terminal, with a fresh number.
    static Result<RefPtr<Terminal>> create(Pty*& pty);
    /// The slave of that number while its master is open; null.
    static NullableRefPtr<Terminal> find_slave(u32 number);

    [[nodiscard]] u32 number() const { return number_; }
    [[nodiscard]] Terminal& slave() const { return *slave_; }
    vfs::EventSource master_events;

    // ---- the master's side ----
    /// Takes output of the slave (in packet mode behind a status byte); EAGAIN, or EIO when no slave is open
    /// any more.
    Result<usize> take_output(std::span<u8> out);
    u32 poll_master();
    usize bytes_for_master();
    void close_master();
    enum class PacketMode : u8 { Off, On };
    void set_packet_mode(PacketMode mode);
    [[nodiscard]] PacketMode packet_mode() const { return packet_mode_; }

    std::atomic<bool> locked{true}; // until unlockpt(3)
    static bool is_locked(const Terminal& slave);

    // ---- TerminalDriver ----
    usize write(std::span<const u8> bytes) override;
    usize write_room() override;
    void discard_output() override;
    void input_has_room() override { master_events.notify(abi::POLLOUT | abi::POLLWRNORM); }
    void settings_changed(abi::termios2& settings, const abi::termios2& before) override;
    void input_flushed() override { note_status(abi::TIOCPKT_FLUSHREAD); }
    void flow_changed(bool stopped) override { note_status(stopped ? abi::TIOCPKT_STOP : abi::TIOCPKT_START); }
    void opened() override;
    void closed() override;
    bool is_pty() const override { return true; }
    bool is_cut_off() const override { return !master_is_open_.load(std::memory_order_relaxed); }
    void terminal_destroyed() override;

private:
    explicit Pty(u32 number) : number_(number) {}
    ~Pty() = default;
    void note_status(u8 bits);

    Terminal* slave_ = nullptr; // not counted: it owns us
    const u32 number_;
    std::atomic<bool> master_is_open_{true};
    core::SpinLock lock_;
    std::array<u8, ring_capacity> ring_{};
    usize head_ = 0;
    usize tail_ = 0;
    bool slave_was_closed_ = false;
    PacketMode packet_mode_ = PacketMode::Off;
    u8 packet_status_ = 0;
};

Result<void> initialise_ptys();

// ---- devpts.cpp ----
Result<void> register_devpts();
/// The node of a new slave, owned by the current user; taken away again when the master closes.
Result<void> add_devpts_node(u32 number);
void remove_devpts_node(u32 number);

inline constexpr u32 pts_major = 136;
inline constexpr u32 max_ptys = 4096;

} // namespace linnet::tty
