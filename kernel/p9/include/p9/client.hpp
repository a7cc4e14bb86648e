// Client: one connection to a server of 9P2000.L over a channel. Several threads may ask at once; each request has a
// tag of its own.
//
// Every operation may sleep. Where the caller says nothing else a signal can interrupt it: the server is then told to
// drop the request (Tflush), and if it has done so the answer is RestartIfRequested. So what can't be done twice must
// not be followed by a request that can be interrupted. A thread that is to die waits no longer; what the server might
// still write to stays until the server gives it back.
//
// Errors are the server's own; EIO also when its answer makes no sense, ENOMEM, ENAMETOOLONG.
//
// Lock order: Client::lock_ (masks interrupts) → the channel's locks, wait queues.
#pragma once

#include <core/spinlock.hpp>
#include <core/wait_queue.hpp>
#include <lib/function_ref.hpp>
#include <lib/own_ptr.hpp>
#include <lib/ref_ptr.hpp>
#include <p9/channel.hpp>
#include <p9/wire.hpp>

namespace linnet::p9 {

class Client;
struct Exchange;
struct FidSlot;

/// A handle of the server's for one object, or one open file. Given back when the last reference goes, in any context
/// that may not sleep either.
class Fid : public RefCounted<Fid> {
public:
    /// One that stands for nothing yet. ENOMEM.
    static Result<RefPtr<Fid>> create(Client& client);
    ~Fid();
    [[nodiscard]] u32 number() const;

private:
    friend class Client;
    enum class State : u8 { Free, Established, Unknown };
    Fid(Client& client, FidSlot& slot) : client_(client), slot_(slot) {}
    Client& client_;
    FidSlot& slot_;
    State state_ = State::Free; // Unknown: nobody has waited for the answer, so the number is used no more
};

struct TimeOf {
    u64 seconds = 0, nanoseconds = 0;
};

/// What a server says of an object.
struct Attributes {
    Qid qid;
    u32 mode = 0, uid = 0, gid = 0;
    u64 links = 0, device = 0, size = 0, block_size = 0, blocks = 0;
    TimeOf access, modify, change, birth;
    bool has_birth = false;
};

/// What is to change. `valid` has the bits of Tsetattr.
struct Change {
    static constexpr u32 mode_bit = 1, uid_bit = 2, gid_bit = 4, size_bit = 8, access_bit = 0x10, modify_bit = 0x20,
                         access_value_bit = 0x80, modify_value_bit = 0x100;
    u32 valid = 0;
    u32 mode = 0, uid = 0, gid = 0;
    u64 size = 0;
    TimeOf access, modify;
};

struct Statistics {
    u32 type = 0, block_size = 0;
    u64 blocks = 0, blocks_free = 0, blocks_available = 0, files = 0, files_free = 0, id = 0;
    u32 most_name = 0;
};

struct DirectoryEntry {
    Qid qid;
    u64 next_offset = 0;
    u8 type = 0; // DT_*
    std::string_view name;
};

class Client {
public:
    static constexpr u32 least_message = 4096, most_message = 512 * 1024, usual_message = 128 * 1024;

    /// Agrees with the server on the protocol and the size of messages, at most `wanted_message` bytes. The channel is
    /// the client's until it goes. EOPNOTSUPP: the server speaks another protocol.
    static Result<OwnPtr<Client>> connect(Channel& channel, u32 wanted_message);
    /// Waits for what is under way. A server that doesn't answer for ten seconds keeps the memory and the channel.
    static void disconnect(OwnPtr<Client> client);
    ~Client();

    [[nodiscard]] u32 message_size() const { return message_size_; }

    Result<RefPtr<Fid>> attach(std::string_view user, std::string_view tree, u32 uid);
    /// What `name` in `directory` is. ENOENT.
    struct Walked {
        RefPtr<Fid> fid;
        Qid qid;
    };
    Result<Walked> walk(const Fid& directory, std::string_view name, core::Sleep sleep = core::Sleep::Interruptible);
    /// One more fid for the same object.
    Result<RefPtr<Fid>> clone(const Fid& fid);

    Result<Attributes> get_attributes(const Fid& fid, core::Sleep sleep = core::Sleep::Interruptible);
    Result<void> set_attributes(const Fid& fid, const Change& change, core::Sleep sleep = core::Sleep::Interruptible);
    Result<Statistics> statistics(const Fid& fid);

    /// Opens what the fid stands for; `flags` of open(2).
    Result<void> open(const Fid& fid, u32 flags);
    struct NewObject {
        u32 mode = 0, gid = 0;
    };
    /// Makes a file in the directory that `fid` stands for, which stands for the open file then.
    Result<void> create(const Fid& fid, std::string_view name, u32 flags, NewObject what);
    Result<void> make_directory(const Fid& directory, std::string_view name, NewObject what);
    Result<void> make_node(const Fid& directory, std::string_view name, NewObject what, u32 major, u32 minor);
    Result<void> make_symlink(const Fid& directory, std::string_view name, std::string_view target, u32 gid);
    Result<void> link(const Fid& directory, std::string_view name, const Fid& target);
    /// `flags` of unlinkat(2).
    Result<void> unlink(const Fid& directory, std::string_view name, u32 flags);
    Result<void> rename(const Fid& from, std::string_view old_name, const Fid& to, std::string_view new_name);
    /// Hands the target's text to `take`.
    Result<void> read_link(const Fid& fid, FunctionRef<Result<void>(std::string_view)> take);

    /// Reads once; hands the bytes to `take`, whose result it is. At most `wanted`, fewer at the end of the file or as
    /// messages are too short. Fills no memory but its own.
    Result<usize> read(const Fid& fid, u64 offset, usize wanted, core::Sleep sleep,
                       FunctionRef<Result<usize>(std::span<const u8>)> take);
    /// Writes once what `fill` puts into the message; at most `wanted` bytes. How many the server has taken, which are
    /// shown to `stored`.
    Result<usize> write(const Fid& fid, u64 offset, usize wanted, core::Sleep sleep,
                        FunctionRef<Result<usize>(std::span<u8>)> fill, FunctionRef<void(std::span<const u8>)> stored);
    Result<void> sync(const Fid& fid, core::Sleep sleep);
    /// Entries from `offset` on (0: all), until `take` says false or one answer is used up. False: there are no more.
    Result<bool> read_directory(const Fid& fid, u64 offset, FunctionRef<bool(const DirectoryEntry&)> take);

    /// Extended attributes; the empty name is the list of names. A fid to read from, and the size.
    struct Attribute {
        RefPtr<Fid> fid;
        u64 size;
    };
    Result<Attribute> open_attribute(const Fid& fid, std::string_view name);
    /// An empty value removes it, which is all that the protocol has for that.
    Result<void> set_attribute(const Fid& fid, std::string_view name, std::span<const u8> value, u32 flags);

private:
    friend class Fid;
    class Answer;
    static constexpr u32 most_tags = 256;
    static constexpr usize small_answer = 512;
    static constexpr usize least_data = 2 * 1024;
    static constexpr usize most_data = 60 * 1024; // in one message: with its head a block of frames that there often is

    explicit Client(Channel& channel) : channel_(channel) {}
    Result<void> agree_on_version(u32 wanted_message);
    template <typename... Fields>
    Result<Answer> ask(core::Sleep sleep, usize room, Type type, const Fields&... fields);
    Result<Answer> ask_prepared(core::Sleep sleep, Type type, Exchange& exchange);
    Result<Exchange*> make_exchange(usize message_size, usize room);
    /// One for as much of `data` bytes as there is memory in a row for; `make` says what it is made of.
    Result<Exchange*> make_data_exchange(usize& data, FunctionRef<Result<Exchange*>(usize data)> make);
    Result<void> give_back(RefPtr<Fid> fid);

    void send(Exchange& exchange);
    void send_waiting_locked();
    Result<void> wait(Exchange& exchange, core::Sleep sleep);
    Result<void> flush(Exchange& exchange);
    bool take_back(Exchange& exchange);
    void dispose(Exchange& exchange);
    void free_garbage();
    static void on_completed(Request& request);
    void complete(Exchange& exchange);

    Result<FidSlot*> take_slot();
    void put_slot(FidSlot& slot);
    void clunk(FidSlot& slot);

    Channel& channel_;
    u32 message_size_ = least_message;
    core::InterruptSpinLock lock_;                      // guards all below
    IntrusiveList<Request, &Request::node> waiting_;    // for tags, or for room in the channel
    IntrusiveList<Request, &Request::node> garbage_;    // answered, and wanted by nobody
    IntrusiveList<Request, &Request::node> free_slots_; // of fids
    u64 used_tags_[most_tags / 64] = {};
    u32 under_way_ = 0; // with the server, or waiting
    u32 last_fid_ = 0;
    core::WaitQueue idle_;
};

} // namespace linnet::p9
