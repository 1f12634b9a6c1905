#include <cerrno>
#include <memory>
#include <string>

#include <gtest/gtest.h>

#include <fulgur/result.h>

namespace fulgur {
namespace {

Error corrupt() {
    return Error(ErrorCode::kCorruption, "page checksum mismatch").at("data", 40960);
}

TEST(ErrorTest, MessageNamesWhatWhereAndWhy) {
    EXPECT_EQ(corrupt().message(), "corruption: page checksum mismatch (data at byte 40960)");
    EXPECT_EQ(Error(ErrorCode::kInvalid, "no such thing").message(), "invalid: no such thing");
    const std::string message = Error(ErrorCode::kNoSpace, "full").at("log.0").os(ENOSPC).message();
    EXPECT_EQ(message, "no space: full (log.0): No space left on device");
}

TEST(ErrorTest, KeepsTheEndOfALongPlace) {
    const std::string path = "/" + std::string(200, 'd') + "/the-end";
    const Error error = Error(ErrorCode::kIo, "x").at(path);
    EXPECT_TRUE(error.where().ends_with("/the-end"));
    EXPECT_NE(error.message().find("(...ddd"), std::string::npos);
}

TEST(ErrorTest, EachCodeHasAWord) {
    for (int code = 1; code <= static_cast<int>(ErrorCode::kUnknownResult); ++code) {
        EXPECT_STRNE(to_string(static_cast<ErrorCode>(code)), "unknown error") << code;
    }
    EXPECT_STREQ(to_string(static_cast<ErrorCode>(200)), "unknown error");
}

TEST(ResultTest, CarriesMoveOnlyValues) {
    Result<std::unique_ptr<int>> result = std::make_unique<int>(5);
    Result<std::unique_ptr<int>> moved = std::move(result);
    ASSERT_TRUE(moved);
    EXPECT_EQ(**moved, 5);
    moved = corrupt();
    ASSERT_FALSE(moved);
    EXPECT_EQ(moved.error().code(), ErrorCode::kCorruption);
}

TEST(ResultDeathTest, ValueOfAnErrorEndsTheProgramWithItsMessage) {
    GTEST_FLAG_SET(death_test_style, "threadsafe");
    const Result<int> result = corrupt();
    EXPECT_DEATH((void)result.value(), "page checksum mismatch \\(data at byte 40960\\)");
    const Result<void> nothing = corrupt();
    EXPECT_DEATH(nothing.value(), "page checksum mismatch");
}

}  // namespace
}  // namespace fulgur
