#include "os/stream.h"

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <iterator>

#include <gtest/gtest.h>

namespace fulgur::os {
namespace {

class StreamTest : public testing::Test {
protected:
    void SetUp() override {
        std::string name =
            (std::filesystem::temp_directory_path() / "fulgur_stream_XXXXXX").string();
        ASSERT_NE(::mkdtemp(name.data()), nullptr);
        folder_ = name;
    }
    void TearDown() override { std::filesystem::remove_all(folder_); }

    std::string path(const std::string& name) const { return (folder_ / name).string(); }
    static std::string content(const std::string& path) {
        std::ifstream file(path, std::ios::binary);
        return {std::istreambuf_iterator<char>(file), {}};
    }

    std::filesystem::path folder_;
};

TEST_F(StreamTest, FileAppearsWhenFinished) {
    auto output = create_output(path("f"));
    ASSERT_TRUE(output.ok());
    ASSERT_TRUE((*output)->write("whole").ok());
    EXPECT_FALSE(std::filesystem::exists(path("f")));
    ASSERT_TRUE((*output)->finish().ok());
    EXPECT_EQ(content(path("f")), "whole");
    EXPECT_FALSE(std::filesystem::exists(path("f.partial")));
}

TEST_F(StreamTest, UnfinishedFileLeavesTheOldOneAlone) {
    std::ofstream(path("f")) << "old";
    {
        auto output = create_output(path("f"));
        ASSERT_TRUE(output.ok());
        ASSERT_TRUE((*output)->write("half").ok());
    }
    EXPECT_EQ(content(path("f")), "old");
    EXPECT_FALSE(std::filesystem::exists(path("f.partial")));
}

TEST_F(StreamTest, LinkKeepsPointingWhereItPoints) {
    std::ofstream(path("target")) << "old";
    std::filesystem::create_symlink(path("target"), path("link"));
    auto output = create_output(path("link"));
    ASSERT_TRUE(output.ok());
    ASSERT_TRUE((*output)->write("new").ok());
    ASSERT_TRUE((*output)->finish().ok());
    EXPECT_EQ(content(path("target")), "new");
    EXPECT_TRUE(std::filesystem::is_symlink(path("link")));
}

TEST_F(StreamTest, FullDeviceIsNoSpace) {
    auto output = create_output("/dev/full");
    ASSERT_TRUE(output.ok());
    const Result<void> written = (*output)->write("x");
    ASSERT_FALSE(written.ok());
    EXPECT_EQ(written.error().code(), ErrorCode::kNoSpace);
}

TEST_F(StreamTest, ReadsAFileAndKnowsItsSize) {
    std::ofstream(path("f")) << "some text";
    auto input = open_input(path("f"));
    ASSERT_TRUE(input.ok());
    EXPECT_EQ((*input)->size(), 9u);
    char bytes[20];
    EXPECT_EQ(*(*input)->read(bytes), 9u);
    EXPECT_EQ(*(*input)->read(bytes), 0u);
}

TEST_F(StreamTest, NamesWhatCannotBeOpened) {
    const auto absent = open_input(path("absent"));
    ASSERT_FALSE(absent.ok());
    EXPECT_EQ(absent.error().os_error(), ENOENT);
    EXPECT_TRUE(absent.error().message().find("absent") != std::string::npos);
    const auto directory = open_input(folder_.string());
    ASSERT_FALSE(directory.ok());
    EXPECT_EQ(directory.error().os_error(), EISDIR);
}

}  // namespace
}  // namespace fulgur::os
