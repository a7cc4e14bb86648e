#include "session.hpp"

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "guest.hpp"

using protocol::ExitKind;
using protocol::Reply;
using protocol::Request;

namespace {

// More than this waiting for the host, and the command's output is left in its pipes.
constexpr size_t to_send_limit = 256u << 10;

// A command has ended, but somebody it left behind holds its output open: after this long without output it is over.
constexpr uint64_t straggler_grace_ms = 250;

uint64_t now_ms() {
    timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return uint64_t(now.tv_sec) * 1000 + uint64_t(now.tv_nsec) / 1000000;
}

} // namespace

void Session::run() {
    send_number(Reply::hello, protocol::version);
    while (!over_) {
        wait_for_something();
        reap();
        check_deadline();
        finish_if_drained();
        write_port();
    }
}

void Session::send(Reply reply, std::span<const uint8_t> payload) {
    to_send_.append_u32(uint32_t(payload.size()));
    const uint8_t type[1] = {uint8_t(reply)};
    to_send_.append(type);
    to_send_.append(payload);
}

void Session::send_number(Reply reply, uint32_t value) {
    Buffer payload;
    payload.append_u32(value);
    send(reply, {payload.data(), payload.size()});
}

void Session::send_exit(ExitKind kind, uint32_t value) {
    Buffer payload;
    payload.append_u32(uint32_t(kind));
    payload.append_u32(value);
    payload.append_u32(timed_out_);
    send(Reply::exit, {payload.data(), payload.size()});
}

void Session::wait_for_something() {
    enum { port, input, output, error, count };
    pollfd polls[count];
    bool room = to_send_.size() < to_send_limit;
    polls[port] = {port_, short(POLLIN | (to_send_.empty() ? 0 : POLLOUT)), 0};
    // With no events asked for, a pipe's writing end still tells by POLLERR that its reader is gone.
    polls[input] = {terminal_ && input_.empty() ? -1 : command_.input, short(input_.empty() ? 0 : POLLOUT), 0};
    polls[output] = {room ? command_.output : -1, POLLIN, 0};
    polls[error] = {room ? command_.error : -1, POLLIN, 0};

    int timeout = next_timeout_ms();
    timespec limit = {timeout / 1000, (timeout % 1000) * 1000000L};
    sigset_t none;
    sigemptyset(&none);
    if (ppoll(polls, count, timeout < 0 ? nullptr : &limit, &none) < 0) return;

    if (polls[port].revents & POLLIN)
        read_port();
    else if (polls[port].revents & (POLLHUP | POLLERR))
        over_ = true;
    // A request may just have closed any of these; then its member is -1 and the result is stale.
    if (polls[input].revents && command_.input == polls[input].fd) {
        if (polls[input].revents & (POLLERR | POLLHUP))
            stop_input();
        else
            write_input();
    }
    if (polls[output].revents && command_.output == polls[output].fd) read_stream(command_.output, Reply::output);
    if (polls[error].revents && command_.error == polls[error].fd) read_stream(command_.error, Reply::error);
}

// -1: until something happens.
int Session::next_timeout_ms() const {
    uint64_t end = 0;
    if (state_ == State::running) end = deadline_ms_;
    if (state_ == State::draining) end = last_output_ms_ + straggler_grace_ms;
    if (!end) return -1;
    uint64_t now = now_ms();
    return end > now ? int(end - now) : 0;
}

void Session::read_port() {
    constexpr size_t block = 32u << 10;
    ssize_t got = read(port_, received_.reserve(block), block);
    if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR)) over_ = true;
    if (got <= 0) return;
    received_.commit(size_t(got));
    take_frames();
}

void Session::take_frames() {
    while (!over_ && received_.size() >= protocol::header_size) {
        Reader header({received_.data(), protocol::header_size});
        uint32_t length = header.u32();
        auto request = Request(header.number(1));
        if (length > protocol::max_payload) {
            over_ = true;
            return;
        }
        if (received_.size() < protocol::header_size + length) return;
        handle(request, {received_.data() + protocol::header_size, length});
        received_.consume(protocol::header_size + length);
    }
}

void Session::handle(Request request, std::span<const uint8_t> payload) {
    switch (request) {
    case Request::run:
        return start_command(payload);
    case Request::input:
        return add_input(payload);
    case Request::signal:
        return signal_command(Reader(payload).u32());
    case Request::window_size:
        return resize_terminal(payload);
    case Request::file:
        return write_file(payload);
    case Request::close_output:
        return close_stream(Reader(payload).u32());
    case Request::mount_share:
        return mount_share(payload);
    case Request::power_off:
        over_ = true;
        return;
    }
}

void Session::write_port() {
    while (!to_send_.empty()) {
        ssize_t sent = write(port_, to_send_.data(), to_send_.size());
        if (sent <= 0) {
            if (sent < 0 && errno != EAGAIN && errno != EINTR) over_ = true;
            return;
        }
        to_send_.consume(size_t(sent));
    }
}

void Session::start_command(std::span<const uint8_t> payload) {
    timed_out_ = false;
    input_ended_ = false;
    input_.clear();
    CommandLine line;
    if (state_ != State::idle || !line.parse(payload)) {
        send_exit(ExitKind::failed, EINVAL);
        return;
    }
    Failure failure;
    if (!command_.start(line, failure)) {
        command_.pid = -1;
        guest::kill_all();
        send_exit(failure.kind, uint32_t(failure.error));
        return;
    }
    terminal_ = line.on_terminal();
    deadline_ms_ = line.timeout_ms() ? now_ms() + line.timeout_ms() : 0;
    state_ = State::running;
    send(Reply::started, {});
    send_number(Reply::credit, protocol::input_window);
}

void Session::signal_command(uint32_t number) {
    if (state_ == State::running && number < _NSIG) kill(-command_.pid, int(number));
}

void Session::resize_terminal(std::span<const uint8_t> payload) {
    Reader reader(payload);
    winsize size = {};
    size.ws_row = reader.u16();
    size.ws_col = reader.u16();
    if (terminal_ && command_.output >= 0) ioctl(command_.output, TIOCSWINSZ, &size);
}

void Session::write_file(std::span<const uint8_t> payload) {
    Reader reader(payload);
    uint32_t mode = reader.u32();
    uint32_t flags = reader.u32();
    auto name = reader.string();
    auto contents = reader.string();
    char path[4096] = {};
    int error = EINVAL;
    if (reader.ok() && !name.empty() && name.size() < sizeof path) {
        memcpy(path, name.data(), name.size());
        if (flags & protocol::file_remove)
            error = unlink(path) == 0 ? 0 : errno;
        else
            error = guest::write_file(path, mode_t(mode), flags & protocol::file_append, contents);
    }
    send_number(Reply::file_done, uint32_t(error));
}

void Session::mount_share(std::span<const uint8_t> payload) {
    Reader reader(payload);
    uint32_t flags = reader.u32();
    auto tag = reader.string();
    auto path = reader.string();
    char tag_text[64] = {}, path_text[4096] = {};
    int error = EINVAL;
    if (reader.ok() && tag.size() < sizeof tag_text && !path.empty() && path.size() < sizeof path_text) {
        memcpy(tag_text, tag.data(), tag.size());
        memcpy(path_text, path.data(), path.size());
        error = guest::mount_share(tag_text, path_text, flags & protocol::share_read_only);
    }
    send_number(Reply::share_done, uint32_t(error));
}

void Session::add_input(std::span<const uint8_t> payload) {
    if (command_.input < 0) return;
    if (payload.empty()) input_ended_ = true;
    input_.append(payload);
    write_input();
}

void Session::write_input() {
    size_t accepted = 0;
    while (!input_.empty()) {
        ssize_t written = write(command_.input, input_.data(), input_.size());
        if (written < 0 && errno == EINTR) continue;
        if (written < 0 && errno != EAGAIN) return stop_input();
        if (written <= 0) break;
        input_.consume(size_t(written));
        accepted += size_t(written);
    }
    if (accepted) send_number(Reply::credit, uint32_t(accepted));
    // On a terminal the end of input has no meaning; the shell sees what is typed.
    if (input_.empty() && input_ended_ && !terminal_) command_.close_input();
}

void Session::stop_input() {
    input_.clear();
    if (command_.input < 0) return;
    command_.close_input();
    send(Reply::input_closed, {});
}

void Session::close_stream(uint32_t stream) {
    if (stream == 1) command_.close_output();
    if (stream == 2) command_.close_error();
}

void Session::read_stream(int fd, Reply reply) {
    static uint8_t block[protocol::data_chunk];
    ssize_t got = read(fd, block, sizeof block);
    if (got > 0) {
        send(reply, {block, size_t(got)});
        last_output_ms_ = now_ms();
        return;
    }
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
    // The end; a terminal says EIO once nobody has it open, which may pass when the next opens it.
    if (terminal_ && state_ == State::running) {
        timespec step = {0, 1000000};
        nanosleep(&step, nullptr);
        return;
    }
    if (reply == Reply::output)
        command_.close_output();
    else
        command_.close_error();
}

// Collects every child that has ended: the command, and orphans, which PID 1 inherits.
void Session::reap() {
    int status;
    pid_t pid;
    while ((pid = waitpid(-1, &status, WNOHANG | __WALL)) > 0) {
        if (state_ != State::running || pid != command_.pid) continue;
        wait_status_ = status;
        state_ = State::draining;
        last_output_ms_ = now_ms();
    }
}

void Session::check_deadline() {
    if (state_ != State::running || !deadline_ms_ || now_ms() < deadline_ms_) return;
    deadline_ms_ = 0;
    timed_out_ = true;
    kill(-1, SIGKILL);
}

// The command is over when its output is at its end, or nothing has come for a while from whoever still holds it.
void Session::finish_if_drained() {
    if (state_ != State::draining) return;
    bool ended = command_.output < 0 && command_.error < 0;
    bool host_is_behind = to_send_.size() >= to_send_limit;
    if (ended || (!host_is_behind && now_ms() >= last_output_ms_ + straggler_grace_ms)) finish();
}

void Session::finish() {
    command_.close_input();
    command_.close_output();
    command_.close_error();
    guest::kill_all();
    command_.pid = -1;
    state_ = State::idle;
    terminal_ = false;
    if (WIFSIGNALED(wait_status_))
        send_exit(ExitKind::signalled, uint32_t(WTERMSIG(wait_status_)));
    else
        send_exit(ExitKind::exited, uint32_t(WEXITSTATUS(wait_status_)));
}
