// What holds of every file system: the real one, the one in memory, the simulated one.

#include <string>

#include <gtest/gtest.h>
#include <stdlib.h>

#include "os/file.h"
#include "os/memory_file_system.h"
#include "os/sim_file_system.h"

namespace fulgur::os {
namespace {

using Mode = FileSystem::Mode;

class FileSystemTest : public testing::TestWithParam<const char*> {
protected:
    void SetUp() override {
        const std::string kind = GetParam();
        if (kind == "real") {
            char path[] = "/tmp/fulgur-os-test-XXXXXX";
            ASSERT_NE(mkdtemp(path), nullptr);
            directory_ = path;
            files_ = &real_file_system();
            return;
        }
        if (kind == "memory") owned_ = std::make_unique<MemoryFileSystem>();
        if (kind == "simulated") owned_ = std::make_unique<SimFileSystem>(1);
        files_ = owned_.get();
        directory_ = "test";
        files_->make_directory(directory_).value();
    }

    void TearDown() override { remove_all(directory_); }

    void remove_all(const std::string& path) {
        if (files_->is_directory(path).value()) {
            for (const std::string& name : files_->list(path).value())
                remove_all(path + "/" + name);
        }
        files_->remove(path).value();
    }

    std::string at(const std::string& name) const { return directory_ + "/" + name; }
    std::unique_ptr<File> create(const std::string& name) {
        return files_->open(at(name), Mode::kCreate).value();
    }
    static std::string read(File& file, std::uint64_t position, std::size_t size) {
        std::string into(size, '?');
        into.resize(file.read_at(position, into).value());
        return into;
    }

    std::unique_ptr<FileSystem> owned_;
    FileSystem* files_ = nullptr;
    std::string directory_;
};

INSTANTIATE_TEST_SUITE_P(All, FileSystemTest, testing::Values("real", "memory", "simulated"),
                         [](const auto& kind) { return std::string(kind.param); });

TEST_P(FileSystemTest, ReadsWhatWasWritten) {
    const auto file = create("data");
    file->write_at(0, "hello").value();
    file->write_at(700'000, "far").value();
    file->write_at(3, "LOW").value();
    file->sync().value();
    EXPECT_EQ(file->size().value(), 700'003U);
    EXPECT_EQ(read(*file, 0, 8), std::string("helLOW\0\0", 8));
    EXPECT_EQ(read(*file, 699'999, 4), std::string("\0far", 4));
    EXPECT_EQ(file->name(), at("data"));
    const auto again = files_->open(at("data"), Mode::kRead).value();
    EXPECT_EQ(read(*again, 700'000, 3), "far");
}

TEST_P(FileSystemTest, ReadsShortOnlyAtTheEnd) {
    const auto file = create("data");
    file->write_at(0, std::string(100'000, 'x')).value();
    EXPECT_EQ(read(*file, 0, 100'000).size(), 100'000U);
    EXPECT_EQ(read(*file, 99'990, 100).size(), 10U);
    EXPECT_EQ(read(*file, 100'000, 100).size(), 0U);
    EXPECT_EQ(read(*file, 1'000'000, 100).size(), 0U);
    EXPECT_EQ(read(*file, 5, 0).size(), 0U);
}

TEST_P(FileSystemTest, ResizeCutsAndExtendsWithZeros) {
    const auto file = create("data");
    file->write_at(0, std::string(10'000, 'x')).value();
    file->resize(5'000).value();
    EXPECT_EQ(file->size().value(), 5'000U);
    file->resize(10'000).value();
    EXPECT_EQ(read(*file, 4'999, 3), std::string("x\0\0", 3));
    EXPECT_EQ(read(*file, 9'000, 2000), std::string(1000, '\0'));
    file->resize(0).value();
    EXPECT_EQ(file->size().value(), 0U);
}

TEST_P(FileSystemTest, NamesFollowCreationRenameAndRemoval) {
    create("b")->write_at(0, "b").value();
    create("a")->write_at(0, "a").value();
    files_->make_directory(at("c")).value();
    files_->make_directory(at("c")).value();  // There already: no error.
    EXPECT_EQ(files_->list(directory_).value(), (std::vector<std::string>{"a", "b", "c"}));
    files_->rename(at("a"), at("b")).value();
    EXPECT_FALSE(files_->exists(at("a")).value());
    EXPECT_EQ(read(*files_->open(at("b"), Mode::kReadWrite).value(), 0, 9), "a");
    files_->remove(at("b")).value();
    files_->sync_directory(directory_).value();
    EXPECT_EQ(files_->list(directory_).value(), std::vector<std::string>{"c"});
    EXPECT_TRUE(files_->is_directory(at("c")).value());
    EXPECT_FALSE(files_->is_directory(at("absent")).value());
}

TEST_P(FileSystemTest, OpenFilesOutliveTheirNames) {
    const auto file = create("data");
    file->write_at(0, "still").value();
    files_->remove(at("data")).value();
    EXPECT_EQ(read(*file, 0, 9), "still");
}

TEST_P(FileSystemTest, WrongPathsAreInvalidAndNamed) {
    create("file")->write_at(0, "x").value();
    const auto expect_invalid = [&](const auto& result, const char* words) {
        ASSERT_FALSE(result.ok());
        EXPECT_EQ(result.error().code(), ErrorCode::kInvalid) << result.error().message();
        EXPECT_NE(result.error().what().find(words), std::string_view::npos)
            << result.error().message();
        EXPECT_NE(result.error().where().find(directory_), std::string_view::npos);
    };
    expect_invalid(files_->open(at("absent"), Mode::kRead), "no such file");
    expect_invalid(files_->open(at("absent"), Mode::kReadWrite), "no such file");
    expect_invalid(files_->open(at("absent/data"), Mode::kCreate), "no such file");
    expect_invalid(files_->open(at("file/data"), Mode::kCreate), "not a directory");
    expect_invalid(files_->open(directory_, Mode::kRead), "a directory, where a file belongs");
    expect_invalid(files_->open(directory_, Mode::kReadWrite), "a directory, where a file");
    expect_invalid(files_->make_directory(at("file")), "not a directory");
    expect_invalid(files_->make_directory(at("absent/deep")), "no such file");
    expect_invalid(files_->list(at("absent")), "no such file");
    expect_invalid(files_->list(at("file")), "not a directory");
    expect_invalid(files_->remove(at("absent")), "no such file");
    expect_invalid(files_->rename(at("absent"), at("b")), "no such file");
    expect_invalid(files_->sync_directory(at("absent")), "no such file");
    expect_invalid(files_->lock(at("absent/lock")), "no such file");
    files_->make_directory(at("full")).value();
    create("full/file")->sync().value();
    expect_invalid(files_->remove(at("full")), "not empty");
}

TEST_P(FileSystemTest, ReadOnlyFilesRefuseWrites) {
    create("data")->write_at(0, "x").value();
    const auto file = files_->open(at("data"), Mode::kRead).value();
    const Result<void> written = file->write_at(7, "y");
    ASSERT_FALSE(written.ok());
    EXPECT_EQ(written.error().code(), ErrorCode::kIo);
    EXPECT_EQ(written.error().where(), at("data"));
    EXPECT_EQ(written.error().offset(), 7U);
    EXPECT_FALSE(file->resize(0).ok());
}

TEST_P(FileSystemTest, LockIsHeldOnceUntilItEnds) {
    auto held = files_->lock(at("lock")).value();
    const auto second = files_->lock(at("lock"));
    ASSERT_FALSE(second.ok());
    EXPECT_EQ(second.error().code(), ErrorCode::kBusy);
    EXPECT_NE(second.error().what().find("this process"), std::string_view::npos);
    held.reset();
    EXPECT_TRUE(files_->lock(at("lock")).ok());
}

}  // namespace
}  // namespace fulgur::os
