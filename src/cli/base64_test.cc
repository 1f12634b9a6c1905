#include "base/base64.h"

#include <gtest/gtest.h>

#include "cli/codec_test_data.h"

namespace fulgur::cli {
namespace {

std::string encoded(Bytes bytes) {
    std::string text;
    append_base64(bytes, text);
    return text;
}

TEST(Base64Test, WritesTheExamplesOfTheStandard) {
    EXPECT_EQ(encoded(""), "");
    EXPECT_EQ(encoded("f"), "Zg==");
    EXPECT_EQ(encoded("fo"), "Zm8=");
    EXPECT_EQ(encoded("foo"), "Zm9v");
    EXPECT_EQ(encoded("foob"), "Zm9vYg==");
    EXPECT_EQ(encoded("fooba"), "Zm9vYmE=");
    EXPECT_EQ(encoded("foobar"), "Zm9vYmFy");
    EXPECT_EQ(encoded("\xfb\xff"), "+/8=");
}

TEST(Base64Test, ReadsBackAnyBytes) {
    os::Random random(test_seed());
    for (int i = 0; i < 5000; ++i) {
        const std::string bytes = random_bytes(random, 100);
        std::string decoded = "what was there before";
        ASSERT_TRUE(decode_base64(encoded(bytes), decoded).ok);
        ASSERT_EQ(decoded, bytes);
    }
}

TEST(Base64Test, PlacesTheFirstFault) {
    const std::pair<Bytes, std::size_t> cases[] = {
        {"Zg", 2},        // No padding.
        {"Zg=", 3},       // Half of it.
        {"Zh==", 1},      // Bits that stand for nothing.
        {"Zm9=", 2},      // The same with one character of padding.
        {"Zm9v====", 4},  // A group of padding.
        {"Z===", 1},      // One character is no byte.
        {"====", 0},     {"Zm=v", 2}, {"Zm9v Zg==", 4}, {"Zm9v\n", 4}, {"Zm-_", 2}, {"A", 1},
    };
    for (const auto& [text, fault] : cases) {
        std::string decoded;
        const Base64Outcome outcome = decode_base64(text, decoded);
        EXPECT_FALSE(outcome.ok) << text;
        EXPECT_EQ(outcome.fault, fault) << text;
    }
}

TEST(Base64Test, HasOneTextForEachSequenceOfBytes) {
    os::Random random(test_seed());
    for (int i = 0; i < 20000; ++i) {
        std::string text(4 * random.below(3), 'A');
        for (char& c : text) c = "AQgwZ/+9="[random.below(9)];
        std::string decoded;
        if (decode_base64(text, decoded).ok) {
            ASSERT_EQ(encoded(decoded), text);
        }
    }
}

}  // namespace
}  // namespace fulgur::cli
