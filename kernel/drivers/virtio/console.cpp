// The console device: queues, interrupts, control messages.
//
// Lock order: control_lock_, then VirtioConsole::lock_ (masks interrupts), which is a leaf but for wake-ups.
#include "console.hpp"

#include <core/log.hpp>
#include <cstring>
#include <lib/own_ptr.hpp>
#include <tty/device.hpp>

namespace linnet::drivers {
namespace {

constexpr u64 feature_multiport = 1u << 1;
constexpr u16 event_device_ready = 0, event_device_add = 1, event_device_remove = 2, event_port_ready = 3,
              event_console_port = 4, event_port_open = 6, event_port_name = 7;
constexpr u32 max_consoles = 4;

constinit VirtioConsole* consoles[max_consoles] = {};
constinit u32 console_count = 0;

/// Queues of a port: 0 and 1 for port 0, then 2 and 3 are control, then pairs (5.3.2).
u16 receive_queue_of(u32 port) { return static_cast<u16>(port == 0 ? 0 : 2 + 2 * port); }

} // namespace

Result<void> VirtioPort::start(VirtioTransport& transport, u16 receive_queue, u16 transmit_queue) {
    receive_ = TRY(VirtQueue::create(transport, receive_queue, buffers_each_way));
    transmit_ = TRY(VirtQueue::create(transport, transmit_queue, buffers_each_way));
    for (PortBuffer& buffer : receive_buffers_) buffer.page = TRY(mm::allocate_pages(0));
    for (PortBuffer& buffer : transmit_buffers_) {
        buffer.page = TRY(mm::allocate_pages(0));
        writable_.push_back(buffer);
    }
    started_ = true;
    return {};
}

void VirtioPort::set_host_name(std::string_view name) {
    name_length_ = name.size() < sizeof(name_) ? name.size() : sizeof(name_);
    memcpy(name_, name.data(), name_length_);
}

void VirtioPort::give_back(PortBuffer& buffer) {
    Result<u16> descriptor =
        receive_->add(mm::page_address(*buffer.page), arch::page_size, VirtQueue::Direction::FromDevice);
    if (descriptor && *descriptor < buffers_each_way) receive_by_descriptor_[*descriptor] = &buffer;
}

core::InterruptSpinLock& VirtioPort::console_lock() { return console_.lock(); }

void VirtioPort::finish_received(PortBuffer& buffer) {
    core::InterruptSpinGuard guard(console_lock());
    received_.remove(buffer);
    give_back(buffer);
    receive_->kick();
}

void VirtioPort::take_sent(u32& happened) {
    for (;;) {
        auto used = transmit_->take_used();
        if (!used || !*used) break;
        PortBuffer* buffer =
            (*used)->descriptor < buffers_each_way ? transmit_by_descriptor_[(*used)->descriptor] : nullptr;
        if (!buffer) continue;
        unsent_bytes_ -= buffer->length;
        buffer->length = 0;
        writable_.push_back(*buffer);
        happened |= abi::POLLOUT | abi::POLLWRNORM;
    }
}

void VirtioPort::service() {
    if (!started_) return;
    u32 happened = 0;
    for (;;) {
        auto used = receive_->take_used();
        if (!used || !*used) break;
        PortBuffer* buffer =
            (*used)->descriptor < buffers_each_way ? receive_by_descriptor_[(*used)->descriptor] : nullptr;
        if (!buffer) continue;
        buffer->length = (*used)->length < arch::page_size ? (*used)->length : arch::page_size;
        buffer->offset = 0;
        received_.push_back(*buffer);
        happened |= abi::POLLIN | abi::POLLRDNORM;
    }
    take_sent(happened);
    if (listener_ && (happened & abi::POLLIN)) listener_->has_input();
    if (listener_ && (happened & abi::POLLOUT)) listener_->has_room();
    if (happened) events_.notify(happened);
}

Result<usize> VirtioPort::read(vfs::IoBuffer& to) {
    core::MutexGuard reader(read_lock_);
    usize total = 0;
    while (to.remaining() > 0) {
        PortBuffer* buffer;
        {
            core::InterruptSpinGuard guard(console_.lock());
            buffer = received_.first();
            if (!buffer && total == 0 && host_open_) return error(Errno::EAGAIN);
        }
        if (!buffer) break;
        const u8* bytes = mm::page_data<const u8>(*buffer->page) + buffer->offset;
        Result<usize> copied = to.copy_out({bytes, buffer->length - buffer->offset});
        if (!copied) return total ? Result<usize>(total) : copied;
        buffer->offset += static_cast<u32>(*copied);
        total += *copied;
        if (buffer->offset < buffer->length) break;
        finish_received(*buffer);
    }
    return total;
}

PortBuffer* VirtioPort::take_transmit_buffer() {
    core::InterruptSpinGuard guard(console_.lock());
    return host_open_ ? writable_.pop_front() : nullptr;
}

Result<usize> VirtioPort::write(vfs::IoBuffer& from) {
    usize total = 0;
    while (from.remaining() > 0) {
        PortBuffer* buffer = take_transmit_buffer();
        if (!buffer) break;
        usize size = from.remaining() < arch::page_size ? from.remaining() : arch::page_size;
        Result<usize> copied = from.copy_in({mm::page_data<u8>(*buffer->page), size});
        core::InterruptSpinGuard guard(console_.lock());
        if (!copied || *copied == 0) {
            writable_.push_front(*buffer);
            return total ? Result<usize>(total) : copied;
        }
        Result<u16> descriptor =
            transmit_->add(mm::page_address(*buffer->page), static_cast<u32>(*copied), VirtQueue::Direction::ToDevice);
        if (!descriptor || *descriptor >= buffers_each_way) return error(Errno::EIO);
        buffer->length = static_cast<u32>(*copied);
        unsent_bytes_ += *copied;
        transmit_by_descriptor_[*descriptor] = buffer;
        transmit_->kick();
        total += *copied;
    }
    return total > 0 || from.remaining() == 0 ? Result<usize>(total) : error(Errno::EAGAIN);
}

usize VirtioPort::send_one(std::span<const u8> bytes) {
    PortBuffer* buffer = writable_.pop_front();
    if (!buffer) return 0;
    usize size = bytes.size() < arch::page_size ? bytes.size() : arch::page_size;
    memcpy(mm::page_data<u8>(*buffer->page), bytes.data(), size);
    Result<u16> descriptor =
        transmit_->add(mm::page_address(*buffer->page), static_cast<u32>(size), VirtQueue::Direction::ToDevice);
    if (!descriptor || *descriptor >= buffers_each_way) {
        writable_.push_front(*buffer);
        return 0;
    }
    buffer->length = static_cast<u32>(size);
    unsent_bytes_ += size;
    transmit_by_descriptor_[*descriptor] = buffer;
    transmit_->kick();
    return size;
}

usize VirtioPort::write_bytes(std::span<const u8> bytes) {
    core::InterruptSpinGuard guard(console_.lock());
    if (!host_open_) return bytes.size(); // nobody is at the other end of the line
    usize sent = 0;
    while (sent < bytes.size()) {
        usize now = send_one(bytes.subspan(sent));
        if (now == 0) break;
        sent += now;
    }
    return sent;
}

void VirtioPort::send_polled(std::span<const u8> bytes) {
    constexpr u32 patience = 10'000'000;
    u32 sent_before = 0;
    for (u32 tries = 0; !bytes.empty() && tries < patience; ++tries) {
        usize now = send_one(bytes);
        bytes = bytes.subspan(now);
        if (now == 0) take_sent(sent_before);
    }
}

usize VirtioPort::write_room() {
    core::InterruptSpinGuard guard(console_.lock());
    return writable_.is_empty() ? 0 : arch::page_size;
}

usize VirtioPort::bytes_under_way() {
    core::InterruptSpinGuard guard(console_.lock());
    return unsent_bytes_;
}

void VirtioPort::wait_sent(core::Deadline deadline) {
    vfs::EventWait wait;
    vfs::EventObserver observer(events_, abi::POLLOUT, wait);
    for (;;) {
        wait.reset();
        if (bytes_under_way() == 0) return;
        if (wait.sleep(core::Sleep::Deep, deadline) == core::WaitResult::TimedOut) return;
    }
}

void VirtioPort::set_listener(PortListener& listener) {
    core::InterruptSpinGuard guard(console_.lock());
    listener_ = &listener;
}

u32 VirtioPort::poll() {
    core::InterruptSpinGuard guard(console_.lock());
    u32 events = 0;
    if (!received_.is_empty() || !host_open_) events |= abi::POLLIN | abi::POLLRDNORM;
    if (host_open_ && !writable_.is_empty()) events |= abi::POLLOUT | abi::POLLWRNORM;
    if (!host_open_) events |= abi::POLLHUP;
    return events;
}

Result<void> VirtioPort::open() {
    {
        core::InterruptSpinGuard guard(console_.lock());
        if (listener_) return error(Errno::ENXIO);
        if (guest_open_) return error(Errno::EBUSY);
        guest_open_ = true;
    }
    console_.send_control(id_, event_port_open, 1);
    return {};
}

void VirtioPort::close() {
    {
        core::InterruptSpinGuard guard(console_.lock());
        guest_open_ = false;
    }
    console_.send_control(id_, event_port_open, 0);
}

void VirtioPort::host_opened(bool is_open) {
    {
        core::InterruptSpinGuard guard(console_.lock());
        host_open_ = is_open;
    }
    events_.notify(is_open ? abi::POLLOUT | abi::POLLWRNORM : abi::POLLHUP | abi::POLLIN);
}

Result<void> VirtioConsole::start() {
    u64 features = TRY(start_virtio_device(transport_, feature_multiport));
    is_multiport_ = features & feature_multiport;
    TRY(transport_.set_handler(&on_interrupt, this));
    if (!is_multiport_) {
        add_port(0);
        if (!ports_[0]) return error(Errno::ENODEV);
    } else {
        control_receive_ = TRY(VirtQueue::create(transport_, 2, control_buffers));
        control_transmit_ = TRY(VirtQueue::create(transport_, 3, control_buffers));
        control_page_ = TRY(mm::allocate_pages(0));
        // All queues are made before the device runs: it may not take new ones later.
        u32 ports = transport_.read_config32(4);
        for (u32 id = 0; id < ports && id < max_ports; ++id) {
            auto port = TRY(try_make<VirtioPort>(*this, id));
            u16 queue = receive_queue_of(id);
            if (port->start(transport_, queue, static_cast<u16>(queue + 1))) ports_[id] = port.release();
        }
    }
    transport_.set_status(virtio_acknowledge | virtio_driver | virtio_features_ok | virtio_driver_ok);
    for (VirtioPort* port : ports_) {
        if (!port) continue;
        core::InterruptSpinGuard guard(lock_);
        for (PortBuffer& buffer : port->receive_buffers_) port->give_back(buffer);
        port->receive_->kick();
    }
    if (!is_multiport_) {
        ports_[0]->host_opened(true);
        make_terminal(*ports_[0]);
        return {};
    }
    core::InterruptSpinGuard guard(lock_);
    for (u16 i = 0; i < control_buffers; ++i) {
        PhysAddr address = mm::page_address(*control_page_) + control_slot_bytes * i;
        Result<u16> descriptor = control_receive_->add(address, control_slot_bytes, VirtQueue::Direction::FromDevice);
        if (descriptor) control_by_descriptor_[*descriptor] = i;
    }
    control_receive_->kick();
    guard.unlock();
    tty::expect_terminals(); // those that the host tells of
    send_control(~0u, event_device_ready, 1);
    handle_control(); // a host that answers at once has its console in place for what is logged from now on
    return {};
}

void VirtioConsole::finish(core::Deadline deadline) {
    for (VirtioPort* port : ports_)
        if (port && port->started_) port->wait_sent(deadline);
}

void VirtioConsole::make_terminal(VirtioPort& port) {
    if (port.listener_) return;
    if (auto made = attach_terminal(port); !made)
        core::log_error("virtio-console: port {} can't be a terminal, errno {}", port.id(), made.error());
}

void VirtioConsole::send_control(u32 port, u16 event, u16 value) {
    if (!is_multiport_) return;
    core::InterruptSpinGuard guard(lock_);
    for (;;) {
        auto used = control_transmit_->take_used();
        if (!used || !*used) break;
    }
    u16 slot = next_control_slot_++ % control_buffers;
    auto* message =
        reinterpret_cast<ControlMessage*>(mm::page_data<u8>(*control_page_) + control_transmit_offset + 16 * slot);
    *message = {port, event, value};
    PhysAddr address = mm::page_address(*control_page_) + control_transmit_offset + 16 * slot;
    if (control_transmit_->add(address, sizeof(ControlMessage), VirtQueue::Direction::ToDevice))
        control_transmit_->kick();
}

void VirtioConsole::on_interrupt(void* context) {
    auto& self = *static_cast<VirtioConsole*>(context);
    core::InterruptSpinGuard guard(self.lock_);
    for (VirtioPort* port : self.ports_)
        if (port) port->service();
    if (self.control_receive_ && self.control_receive_->has_used()) core::queue_work(self.control_work_);
}

void VirtioConsole::handle_control() {
    core::MutexGuard one_at_a_time(control_lock_);
    for (;;) {
        u8 bytes[control_slot_bytes];
        u32 length;
        {
            core::InterruptSpinGuard guard(lock_);
            auto used = control_receive_->take_used();
            if (!used || !*used || (*used)->descriptor >= control_buffers) return;
            u16 slot = control_by_descriptor_[(*used)->descriptor];
            length = (*used)->length < control_slot_bytes ? (*used)->length : control_slot_bytes;
            memcpy(bytes, control_receive_slot(slot), length);
            PhysAddr address = mm::page_address(*control_page_) + control_slot_bytes * slot;
            Result<u16> descriptor =
                control_receive_->add(address, control_slot_bytes, VirtQueue::Direction::FromDevice);
            if (descriptor) control_by_descriptor_[*descriptor] = slot;
            control_receive_->kick();
        }
        if (length < sizeof(ControlMessage)) continue;
        ControlMessage message;
        memcpy(&message, bytes, sizeof(message));
        std::string_view text(reinterpret_cast<const char*>(bytes) + sizeof(message), length - sizeof(message));
        handle_message(message, text);
    }
}

void VirtioConsole::handle_message(const ControlMessage& message, std::string_view text) {
    VirtioPort* port = this->port(message.port);
    if (!port) return;
    switch (message.event) {
    case event_device_add:
        if (!announce_port(*this, *port)) core::log_error("virtio-console: port {} has no device node", port->id());
        send_control(port->id(), event_port_ready, 1);
        return;
    case event_device_remove:
        return port->host_opened(false);
    case event_console_port:
        // The host treats it as a console: it is open at both ends.
        send_control(port->id(), event_port_open, 1);
        port->host_opened(true);
        return make_terminal(*port);
    case event_port_open:
        return port->host_opened(message.value != 0);
    case event_port_name:
        while (!text.empty() && text.back() == '\0') text.remove_suffix(1);
        return port->set_host_name(text);
    default:
        return;
    }
}

void VirtioConsole::add_port(u32 id) {
    auto port = try_make<VirtioPort>(*this, id);
    u16 queue = receive_queue_of(id);
    if (port && (*port)->start(transport_, queue, static_cast<u16>(queue + 1))) ports_[id] = port->release();
}

VirtioPort* find_port(u32 console, u32 port) {
    return console < console_count ? consoles[console]->port(port) : nullptr;
}

Result<void> probe_virtio_console(VirtioTransport& transport) {
    if (console_count >= max_consoles) return error(Errno::ENOSPC);
    auto console = TRY(try_make<VirtioConsole>(transport, console_count));
    consoles[console_count++] = console.get(); // found by number from now on; lives as long as the kernel
    core::add_end_task(*console);
    return console.release()->start();
}

} // namespace linnet::drivers
