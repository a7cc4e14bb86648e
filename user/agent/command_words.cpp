#include "command_words.hpp"

#include <cstring>
#include <fcntl.h>
#include <unistd.h>

CommandWords::CommandWords() {
    int fd = open("/proc/cmdline", O_RDONLY | O_CLOEXEC);
    ssize_t size = fd < 0 ? 0 : read(fd, text_, sizeof text_ - 1);
    if (fd >= 0) close(fd);
    text_[size > 0 ? size : 0] = 0;
    char* rest = text_;
    while (char* word = strsep(&rest, " \n")) {
        if (strcmp(word, "--") == 0) return;
        if (*word && count_ < most_words) words_[count_++] = word;
    }
}

const char* CommandWords::value(const char* name) const {
    size_t length = strlen(name);
    for (int i = count_; i-- > 0;)
        if (strncmp(words_[i], name, length) == 0 && words_[i][length] == '=') return words_[i] + length + 1;
    return nullptr;
}

bool CommandWords::is_read_only() const {
    for (int i = count_; i-- > 0;) {
        if (strcmp(words_[i], "ro") == 0) return true;
        if (strcmp(words_[i], "rw") == 0) return false;
    }
    return true;
}
