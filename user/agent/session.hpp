// The agent's conversation with the host: takes requests, runs one command at a time, relays its streams, and says how
// it ended after everything that it wrote. A single loop around ppoll(2); SIGCHLD is only let in while it waits.
#pragma once

#include <cstdint>
#include <span>
#include <sys/types.h>
#include <time.h>

#include "buffer.hpp"
#include "command.hpp"
#include "protocol.hpp"

class Session {
public:
    explicit Session(int port) : port_(port) {}

    // Returns when the host wants the guest to end, or is gone.
    void run();

private:
    // What the children did, as reap() saw it.
    enum class State { idle, running, draining };

    void send(protocol::Reply reply, std::span<const uint8_t> payload);
    void send_number(protocol::Reply reply, uint32_t value);
    void send_exit(protocol::ExitKind kind, uint32_t value);

    void wait_for_something();
    int next_timeout_ms() const;
    void read_port();
    void write_port();
    void take_frames();
    void handle(protocol::Request request, std::span<const uint8_t> payload);

    void start_command(std::span<const uint8_t> payload);
    void write_file(std::span<const uint8_t> payload);
    void mount_share(std::span<const uint8_t> payload);
    void signal_command(uint32_t number);
    void resize_terminal(std::span<const uint8_t> payload);
    void add_input(std::span<const uint8_t> payload);
    void close_stream(uint32_t stream);

    void write_input();
    void stop_input();
    void read_stream(int fd, protocol::Reply reply);
    void reap();
    void check_deadline();
    void finish_if_drained();
    void finish();

    int port_;
    bool over_ = false;
    State state_ = State::idle;
    Buffer received_;
    Buffer to_send_;
    Buffer input_;
    bool input_ended_ = false;
    bool terminal_ = false;
    Command command_;
    int wait_status_ = 0;
    bool timed_out_ = false;
    uint64_t deadline_ms_ = 0;    // 0: none
    uint64_t last_output_ms_ = 0; // while draining
};
