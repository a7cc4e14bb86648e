// virtio-console (section 5.3): a device with many ports. A console port is a terminal (hvc0 …, port_terminal.cpp),
// every other port a character device /dev/vportNpM that passes bytes (port_file.cpp).
#pragma once

#include <core/mutex.hpp>
#include <core/power.hpp>
#include <core/work_queue.hpp>
#include <lib/intrusive_list.hpp>
#include <vfs/event_source.hpp>
#include <vfs/file.hpp>

#include "virtio.hpp"

namespace linnet::drivers {

class VirtioConsole;

/// One page of data on its way from or to the host.
struct PortBuffer {
    ListNode node;
    mm::Page* page = nullptr;
    u32 length = 0; // bytes in it
    u32 offset = 0; // bytes of them that are taken already
};

/// Who is told about a port that is no file: its terminal. Called in interrupt context with the console's lock held.
class PortListener {
public:
    virtual void has_input() = 0;
    virtual void has_room() = 0;

protected:
    ~PortListener() = default;
};

/// A port: its two queues, the buffers between them and whoever reads and writes. The console's lock guards all of it
/// but the contents of buffers that somebody has taken out of the lists.
class VirtioPort {
public:
    static constexpr usize buffers_each_way = 16;

    VirtioPort(VirtioConsole& console, u32 id) : console_(console), id_(id) {}
    /// Makes queues and buffers. May sleep.
    Result<void> start(VirtioTransport& transport, u16 receive_queue, u16 transmit_queue);

    [[nodiscard]] u32 id() const { return id_; }
    [[nodiscard]] std::string_view host_name() const { return {name_, name_length_}; }
    void set_host_name(std::string_view name);
    vfs::EventSource& events() { return events_; }
    core::InterruptSpinLock& console_lock();

    /// Non-blocking; EAGAIN when nothing is there and the host's end is open, 0 when it is closed.
    Result<usize> read(vfs::IoBuffer& to);
    /// EAGAIN while the host's end is closed or all buffers are under way.
    Result<usize> write(vfs::IoBuffer& from);
    u32 poll();

    /// Bytes instead of a user's buffer, for a terminal: what is there or fits now. Sleeping is not needed, so
    /// `write_bytes` may be called from any context.
    usize write_bytes(std::span<const u8> bytes);
    /// Hands each received piece to `take(bytes)`, which says how many it took, until it takes less than all.
    template <typename Take>
    void read_bytes(Take take);
    usize write_room();
    usize bytes_under_way();
    /// Sleeps until the device has taken all that was sent, or the deadline.
    void wait_sent(core::Deadline deadline);
    /// Sends in a panic or from the log: waits for the device, not for anybody's lock if `is_panicking`.
    void send_polled(std::span<const u8> bytes);
    /// From now on the port is a terminal: no file can open it.
    void set_listener(PortListener& listener);

    /// One opener at a time: EBUSY. A terminal's port has no file: ENXIO.
    Result<void> open();
    void close();
    void host_opened(bool is_open);

    /// Interrupt context: moves finished buffers.
    void service();

private:
    friend class VirtioConsole;
    void give_back(PortBuffer& buffer);
    /// Offers a buffer that has been read to its end to the device again.
    void finish_received(PortBuffer& buffer);
    PortBuffer* take_transmit_buffer();
    /// Lock held. Sends what fits into one buffer; 0 when all are under way.
    usize send_one(std::span<const u8> bytes);
    void take_sent(u32& happened);

    VirtioConsole& console_;
    PortListener* listener_ = nullptr;
    u32 id_;
    bool started_ = false;
    bool guest_open_ = false;
    bool host_open_ = false;
    char name_[64] = {};
    usize name_length_ = 0;
    VirtQueue* receive_ = nullptr;
    VirtQueue* transmit_ = nullptr;
    PortBuffer receive_buffers_[buffers_each_way];
    PortBuffer transmit_buffers_[buffers_each_way];
    PortBuffer* receive_by_descriptor_[buffers_each_way] = {};
    PortBuffer* transmit_by_descriptor_[buffers_each_way] = {};
    IntrusiveList<PortBuffer, &PortBuffer::node> received_; // filled, oldest first
    IntrusiveList<PortBuffer, &PortBuffer::node> writable_; // empty
    usize unsent_bytes_ = 0;                                // in transmit buffers under way
    core::Mutex read_lock_;                                 // one reader at a time holds the oldest buffer
    vfs::EventSource events_;
};

class VirtioConsole final : public core::EndTask {
public:
    static constexpr u32 max_ports = 16;

    VirtioConsole(VirtioTransport& transport, u32 number) : transport_(transport), number_(number) {}
    Result<void> start();
    /// What programs have written reaches the host before the machine ends.
    void finish(core::Deadline deadline) override;
    [[nodiscard]] u32 number() const { return number_; }
    /// Makes the port a terminal, unless it is one.
    void make_terminal(VirtioPort& port);
    VirtioPort* port(u32 id) { return id < max_ports ? ports_[id] : nullptr; }
    core::InterruptSpinLock& lock() { return lock_; }
    /// Sends a control message (5.3.6.2).
    void send_control(u32 port, u16 event, u16 value);

private:
    static constexpr u16 control_buffers = 16;
    struct ControlMessage {
        u32 port;
        u16 event;
        u16 value;
    };
    static void on_interrupt(void* context);
    void handle_control();
    void handle_message(const ControlMessage& message, std::string_view text);
    void add_port(u32 id);
    u8* control_receive_slot(u16 index) { return mm::page_data<u8>(*control_page_) + control_slot_bytes * index; }

    struct ControlWork : core::Work {
        explicit ControlWork(VirtioConsole& owner)
            : Work([](core::Work& work) { static_cast<ControlWork&>(work).console.handle_control(); }), console(owner) {
        }
        VirtioConsole& console;
    };
    static constexpr usize control_slot_bytes = 128;
    static constexpr usize control_transmit_offset = control_slot_bytes * control_buffers;

    VirtioTransport& transport_;
    u32 number_;
    bool is_multiport_ = false;
    core::InterruptSpinLock lock_;
    VirtioPort* ports_[max_ports] = {};
    VirtQueue* control_receive_ = nullptr;
    VirtQueue* control_transmit_ = nullptr;
    mm::Page* control_page_ = nullptr;
    u16 control_by_descriptor_[control_buffers] = {};
    u16 next_control_slot_ = 0;
    core::Mutex control_lock_; // messages are handled one at a time; taken before lock_
    ControlWork control_work_{*this};
};

template <typename Take>
void VirtioPort::read_bytes(Take take) {
    core::MutexGuard reader(read_lock_);
    for (;;) {
        PortBuffer* buffer;
        {
            core::InterruptSpinGuard guard(console_lock());
            buffer = received_.first();
        }
        if (!buffer) return;
        const u8* bytes = mm::page_data<const u8>(*buffer->page) + buffer->offset;
        buffer->offset += static_cast<u32>(take(std::span(bytes, buffer->length - buffer->offset)));
        if (buffer->offset < buffer->length) return;
        finish_received(*buffer);
    }
}

/// Makes a terminal /dev/hvcN of the port; defined in port_terminal.cpp.
Result<void> attach_terminal(VirtioPort& port);
/// Makes /dev/vportNpM; defined in port_file.cpp.
Result<void> announce_port(VirtioConsole& console, VirtioPort& port);
/// The port behind a device number.
VirtioPort* find_port(u32 console, u32 port);

} // namespace linnet::drivers
