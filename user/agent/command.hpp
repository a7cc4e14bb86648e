// One command that the host asked for: how it is described, started, fed, and what became of it.
#pragma once

#include <cstdint>
#include <span>
#include <sys/types.h>

#include "buffer.hpp"
#include "protocol.hpp"

// The request, taken apart. Strings are zero-terminated copies inside `storage`.
class CommandLine {
public:
    CommandLine() = default;
    CommandLine(const CommandLine&) = delete;
    CommandLine& operator=(const CommandLine&) = delete;
    ~CommandLine();

    // False if the payload is malformed.
    [[nodiscard]] bool parse(std::span<const uint8_t> payload);

    [[nodiscard]] bool on_terminal() const { return flags_ & protocol::run_on_terminal; }
    [[nodiscard]] uint32_t timeout_ms() const { return timeout_ms_; }
    [[nodiscard]] uint16_t rows() const { return rows_; }
    [[nodiscard]] uint16_t columns() const { return columns_; }
    [[nodiscard]] const char* cwd() const { return cwd_; }
    [[nodiscard]] char** argv() const { return argv_; }
    [[nodiscard]] char** environment() const { return environment_; }

private:
    static char* copy(std::span<const uint8_t> string);
    static char** copy_list(Reader& reader);
    static void free_list(char** list);

    uint32_t flags_ = 0;
    uint32_t timeout_ms_ = 0;
    uint16_t rows_ = 0;
    uint16_t columns_ = 0;
    char* cwd_ = nullptr;
    char** argv_ = nullptr;
    char** environment_ = nullptr;
};

struct Failure {
    protocol::ExitKind kind;
    int error;
};

// The agent's ends of a command's standard streams and the command's process group. Descriptors are -1 when closed;
// on a terminal input and output are the same master side and error is -1.
struct Command {
    pid_t pid = -1;
    int input = -1;
    int output = -1;
    int error = -1;

    // Starts the command. Whatever fails up to and including execve is told in `failure`.
    [[nodiscard]] bool start(const CommandLine& line, Failure& failure);

    void close_input();
    void close_output();
    void close_error();
};
