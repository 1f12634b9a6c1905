#include "cli/output.h"

#include <cerrno>

#include <gtest/gtest.h>

#include "cli/memory_stream.h"

namespace fulgur::cli {
namespace {

TEST(OutputTest, RemembersTheFirstFailure) {
    MemoryOutput stream;
    stream.failure = Error(ErrorCode::kNoSpace, "cannot write").os(ENOSPC);
    Output out(stream);
    out.write("lost");
    out.flush();
    EXPECT_TRUE(out.failed());
    stream.failure = Error(ErrorCode::kIo, "cannot write").os(EIO);
    const Result<void> finished = out.finish();
    ASSERT_FALSE(finished.ok());
    EXPECT_EQ(finished.error().code(), ErrorCode::kNoSpace);
}

TEST(OutputTest, TakesAReaderThatWentAwayForNoError) {
    MemoryOutput stream;
    stream.failure = Error(ErrorCode::kIo, "cannot write").os(EPIPE);
    Output out(stream);
    out.write("unwanted");
    out.flush();
    EXPECT_TRUE(out.failed());
    EXPECT_TRUE(out.finish().ok());
}

TEST(OutputTest, WritesEverythingInOrder) {
    MemoryOutput stream;
    Output out(stream);
    std::string expected;
    for (int i = 0; i < 50'000; ++i) {
        out.write(std::to_string(i) + "\n");
        expected += std::to_string(i) + "\n";
    }
    ASSERT_TRUE(out.finish().ok());
    EXPECT_EQ(stream.text, expected);
}

}  // namespace
}  // namespace fulgur::cli
