// ChaCha20's block function against the vectors of RFC 8439, appendix A.1 (those whose nonce is 0).
#include <gtest/gtest.h>
#include <lib/chacha20.hpp>
#include <string>

namespace {

using namespace linnet;

std::string block(u32 last_key_word, u64 number) {
    const u32 key[8] = {0, 0, 0, 0, 0, 0, 0, last_key_word};
    u32 words[chacha20_words];
    chacha20_block(key, number, words);
    std::string text;
    for (u32 word : words)
        for (int byte = 0; byte < 4; ++byte) {
            char digits[3];
            std::snprintf(digits, sizeof digits, "%02x", word >> (8 * byte) & 0xff);
            text += digits;
        }
    return text;
}

TEST(ChaCha20, MakesTheBlocksOfTheRfc) {
    EXPECT_EQ(block(0, 0), "76b8e0ada0f13d90405d6ae55386bd28bdd219b8a08ded1aa836efcc8b770dc7"
                           "da41597c5157488d7724e03fb8d84a376a43b8f41518a11cc387b669b2ee6586");
    EXPECT_EQ(block(0, 1), "9f07e7be5551387a98ba977c732d080dcb0f29a048e3656912c6533e32ee7aed"
                           "29b721769ce64e43d57133b074d839d531ed1f28510afb45ace10a1f4b794d6f");
    EXPECT_EQ(block(0x01000000, 1), "3aeb5224ecf849929b9d828db1ced4dd832025e8018b8160b82284f3c949aa5a"
                                    "8eca00bbb4a73bdad192b5c42f73f2fd4e273644c8b36125a64addeb006c13a0");
}

} // namespace
