// The words of the kernel's command line, as far as whoever begins in an initramfs heeds them.
#pragma once

class CommandWords {
public:
    // Reads /proc/cmdline up to `--`, behind which all is init's; no words if that can't be read.
    CommandWords();

    // What the last NAME=VALUE gave; null if there is none.
    const char* value(const char* name) const;

    // Whether the last of `ro` and `rw` is ro, which is the default.
    bool is_read_only() const;

private:
    static constexpr int most_words = 256;
    char text_[4096];
    const char* words_[most_words];
    int count_ = 0;
};
