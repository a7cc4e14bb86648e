// Socket: one end of a communication (socket(2)), and the open file that shows it. A family derives from Socket,
// overrides what it supports and registers how one is made; the defaults give the errno of socket(7).
//
// A Socket may exist without a file (a connection that nobody has accepted) and outlive its file (a message names its
// sender). When the file goes, release() runs: the end of the socket for everybody else.
//
// Blocking is "try, then wait" (vfs/event_source.hpp) with the time-outs of SO_RCVTIMEO and SO_SNDTIMEO.
#pragma once

#include <mm/usercopy.hpp>
#include <net/message.hpp>
#include <vfs/event_source.hpp>

namespace linnet::net {

/// What getsockopt(2) may fill; `used` becomes the option's length.
struct OptionRoom {
    mm::UserSpan room;
    usize used = 0;

    /// Stores as much of it as there is room for.
    Result<void> put(std::span<const u8> value);
    Result<void> put_int(i32 value) { return put({reinterpret_cast<const u8*>(&value), sizeof value}); }
    template <typename T>
    Result<void> put_object(const T& value) {
        return put({reinterpret_cast<const u8*>(&value), sizeof value});
    }
};

/// What of a message's sender a receiver wants to be told (unix(7), SO_PASSCRED, SO_PASSPIDFD).
struct SenderPassing {
    bool credentials = false;
    bool pidfd = false;
};

class Socket : public RefCounted<Socket> {
public:
    virtual ~Socket() = default;

    [[nodiscard]] int family() const { return family_; }
    [[nodiscard]] u32 type() const { return type_; }
    [[nodiscard]] i32 protocol() const { return protocol_; }

    // ---- what a family implements; `flags` are MSG_*, of which MSG_DONTWAIT is O_NONBLOCK too ----

    virtual Result<void> bind(const Address& address);
    virtual Result<void> connect(const Address& address, vfs::Blocking blocking);
    virtual Result<void> listen(i32 backlog);
    virtual Result<RefPtr<Socket>> accept(vfs::Blocking blocking);
    virtual Result<void> name(Address& address);
    virtual Result<void> peer_name(Address& address);
    virtual Result<void> shutdown(int how);
    virtual Result<usize> send(SendRequest& request);
    virtual Result<usize> receive(ReceiveRequest& request);
    virtual u32 poll() = 0;
    /// Options of the family itself, and those of SOL_SOCKET that it knows better. ENOPROTOOPT.
    virtual Result<void> set_option(int level, int name, mm::UserSpan value);
    virtual Result<void> get_option(int level, int name, OptionRoom& room);
    virtual Result<long> ioctl(u32 command, u64 argument);
    /// The file is gone; nobody calls any of the above again.
    virtual void release() {}
    virtual void show_fdinfo(TextSink) const {}
    [[nodiscard]] virtual SenderPassing sender_passing() const { return {}; }
    /// Tells families apart where one must know its own: the address of a constant.
    [[nodiscard]] virtual const void* kind() const { return nullptr; }

    // ---- shared ----

    vfs::EventSource events;

    [[nodiscard]] vfs::File* file() const { return file_.load(std::memory_order_acquire); }
    /// SO_ERROR: what happened to the socket meanwhile, told once. 0: nothing.
    [[nodiscard]] Errno take_error() {
        if (error_.load(std::memory_order_relaxed) == Errno{}) return Errno{};
        return error_.exchange(Errno{}, std::memory_order_acq_rel);
    }
    void set_error(Errno code) { error_.store(code, std::memory_order_release); }
    [[nodiscard]] bool has_error() const { return error_.load(std::memory_order_acquire) != Errno{}; }

protected:
    Socket(int family, u32 type, i32 protocol) : family_(family), type_(type), protocol_(protocol) {}

    static constexpr u64 no_timeout = ~u64{0};
    std::atomic<u32> send_buffer_;
    std::atomic<u32> receive_buffer_;
    std::atomic<u64> send_timeout_ns_{no_timeout};
    std::atomic<u64> receive_timeout_ns_{no_timeout};
    std::atomic<i32> receive_low_{1};

    /// try_then_wait() with one of the time-outs above: with one, a signal ends the call with EINTR (signal(7)).
    template <typename Operation>
    static auto wait(vfs::EventSource& source, u32 wanted, vfs::Blocking blocking, u64 timeout_ns, Operation operation)
        -> decltype(operation()) {
        if (timeout_ns == no_timeout || blocking == vfs::Blocking::Refuse)
            return vfs::try_then_wait(source, wanted, blocking, std::move(operation));
        auto result =
            vfs::try_then_wait(source, wanted, blocking, core::Deadline::after(timeout_ns), std::move(operation));
        if (!result && result.error() == Errno::RestartIfRequested) return error(Errno::EINTR);
        return result;
    }
    static vfs::Blocking blocking_of(u32 flags) {
        return flags & abi::MSG_DONTWAIT ? vfs::Blocking::Refuse : vfs::Blocking::Wait;
    }

private:
    friend class SocketFile;
    Result<void> set_socket_option(int name, mm::UserSpan value);
    const int family_;
    const u32 type_;
    const i32 protocol_;
    std::atomic<Errno> error_{Errno{}};
    std::atomic<u32> switches_{0}; // options that are kept and shown, and concern no family here
    std::atomic<i32> priority_{0};
    std::atomic<u64> linger_{0};
    std::atomic<vfs::File*> file_{nullptr}; // not counted

protected:
    /// Of the file; 0: there has been none.
    std::atomic<u64> inode_number_{0};
};

/// The descriptor's side.
class SocketFile final : public vfs::File {
public:
    /// `flags`: O_NONBLOCK or 0.
    static Result<RefPtr<SocketFile>> create(RefPtr<Socket> socket, u32 flags);
    ~SocketFile() override;

    [[nodiscard]] Socket& socket() const { return *socket_; }
    [[nodiscard]] vfs::Blocking blocking() const {
        return is_nonblocking() ? vfs::Blocking::Refuse : vfs::Blocking::Wait;
    }

    Result<usize> read(vfs::IoBuffer& to, u64 offset) override;
    Result<usize> write(vfs::IoBuffer& from, u64 offset) override;
    bool feeds_pipes() const override { return true; }
    bool takes_from_pipes() const override { return true; }
    Result<usize> read_for_pipe(vfs::IoBuffer& to, u64 offset, vfs::Blocking blocking) override;
    Result<long> ioctl(u32 command, u64 argument) override;
    u32 poll() override { return socket_->poll(); }
    vfs::EventSource* event_source() override { return &socket_->events; }
    vfs::EventSource* async_source() override { return &socket_->events; }
    void describe(TextSink sink) const override { format_to(sink, "socket:[{}]", inode().number()); }
    void show_fdinfo(TextSink sink) const override { socket_->show_fdinfo(sink); }
    [[nodiscard]] const void* kind() const override { return &tag; }
    static const char tag;

private:
    SocketFile(RefPtr<vfs::Inode> inode, RefPtr<Socket> socket, u32 flags);
    RefPtr<Socket> socket_;
};

/// ENOTSOCK when it is something else.
Result<SocketFile*> socket_file(vfs::File& file);

/// How sockets of a family are made (socket(2), socketpair(2)). EPROTONOSUPPORT, ESOCKTNOSUPPORT.
struct Family {
    int number;
    Result<RefPtr<Socket>> (*create)(u32 type, i32 protocol);
    /// Two that are connected to each other; null where there is no such thing: EOPNOTSUPP.
    Result<void> (*connect_pair)(Socket& one, Socket& other);
};
void register_family(const Family& family);
/// EAFNOSUPPORT.
Result<const Family*> find_family(int number);

/// Registers the families, /proc/net and /proc/sys/net.
Result<void> initialise();

} // namespace linnet::net
