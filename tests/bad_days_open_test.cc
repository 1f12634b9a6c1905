// Paths that are no database, databases that are not ours, and those that somebody else has: open
// says what is wrong, with the code that its declaration promises, and changes nothing.
//
// Other processes are this executable with arguments.
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cerrno>
#include <fstream>

#include "base/coding.h"
#include "base/crc32c.h"
#include "tests/bad_days.h"
#include "tests/child_process.h"

namespace fulgur::system_test {
namespace {

constexpr std::size_t kSuperblockBytes = 4096;
constexpr uid_t kNobody = 65534;

Options small() {
    Options options;
    options.memory_budget = 16_MiB;
    return options;
}

void make_database(const std::string& path) {
    Result<Database> database = Database::open(path, small());
    ASSERT_TRUE(database.ok()) << database.error().message();
    const Result<Keyspace> keyspace = database->keyspace("rows");
    ASSERT_TRUE(keyspace.ok());
    for (std::uint64_t n = 0; n < 10; ++n) {
        ASSERT_TRUE(keyspace->put(row_key(n), row_value(n)).ok());
    }
    ASSERT_TRUE(database->close().ok());
}

void expect_whole(const std::string& path) {
    Result<Database> database = Database::open(path, small());
    ASSERT_TRUE(database.ok()) << database.error().message();
    expect_rows(*database, 10);
}

std::string read_file(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
}
void write_file(const std::string& path, const std::string& bytes) {
    std::ofstream(path, std::ios::binary) << bytes;
}

// ---- paths --------------------------------------------------------------------------------------

TEST(OpenTest, PathOfAFileIsInvalidAndTheFileStays) {
    TempDirectory directory;
    write_file(directory / "file", "content");
    EXPECT_TRUE(is_error(Database::open(directory / "file"), ErrorCode::kInvalid, "file"));
    EXPECT_TRUE(is_error(Database::open(directory / "file/db"), ErrorCode::kInvalid));
    EXPECT_EQ(read_file(directory / "file"), "content");
}

TEST(OpenTest, PathMustNotBeEmpty) {
    EXPECT_TRUE(is_error(Database::open(""), ErrorCode::kInvalid));
}

TEST(OpenTest, AbsentDirectoryIsMadeOnlyWhenAsked) {
    TempDirectory directory;
    Options options = small();
    options.create_if_missing = false;
    EXPECT_TRUE(is_error(Database::open(directory / "db", options), ErrorCode::kInvalid, "db"));
    EXPECT_FALSE(std::filesystem::exists(directory / "db"));
    std::filesystem::create_directory(directory / "db");
    EXPECT_TRUE(is_error(Database::open(directory / "db", options), ErrorCode::kInvalid, "db"));
    EXPECT_TRUE(std::filesystem::is_empty(directory / "db"));
    EXPECT_TRUE(is_error(Database::open(directory / "a/b", small()), ErrorCode::kInvalid, "a/b"));
}

TEST(OpenTest, ExistingDatabaseIsInvalidWhenANewOneIsWanted) {
    TempDirectory directory;
    make_database(directory / "db");
    Options options = small();
    options.error_if_exists = true;
    EXPECT_TRUE(is_error(Database::open(directory / "db", options), ErrorCode::kInvalid, "db"));
    expect_whole(directory / "db");
    EXPECT_TRUE(Database::open(directory / "new", options).ok());
}

TEST(OpenTest, SlashesAtTheEndDoNotMatter) {
    TempDirectory directory;
    make_database(directory / "db//");
    expect_whole(directory / "db");
}

TEST(OpenTest, LimitsOfOptionsAreNamed) {
    TempDirectory directory;
    Options options;
    options.memory_budget = kMemoryBudgetMin;
    EXPECT_TRUE(Database::open(directory / "db", options).ok());
    options.memory_budget = kMemoryBudgetMin - 1;
    EXPECT_TRUE(is_error(Database::open(directory / "db", options), ErrorCode::kInvalid));
    options.memory_budget = 16_MiB;
    options.log_bytes_target = 1_MiB;
    EXPECT_TRUE(Database::open(directory / "db", options).ok());
    options.log_bytes_target = 1_MiB - 1;
    EXPECT_TRUE(is_error(Database::open(directory / "db", options), ErrorCode::kInvalid));
}

// ---- what is not ours ---------------------------------------------------------------------------

TEST(OpenTest, DirectoryWithOtherFilesIsLeftAlone) {
    TempDirectory directory;
    std::filesystem::create_directory(directory / "home");
    write_file(directory / "home/letter", "dear");
    EXPECT_TRUE(is_error(Database::open(directory / "home"), ErrorCode::kInvalid, "home"));
    EXPECT_EQ(read_file(directory / "home/letter"), "dear");
    EXPECT_FALSE(std::filesystem::exists(directory / "home/data"));
    EXPECT_FALSE(std::filesystem::exists(directory / "home/lock"));
}

TEST(OpenTest, OtherFilesBesideADatabaseDoNoHarm) {
    TempDirectory directory;
    make_database(directory / "db");
    write_file(directory / "db/notes.txt", "mine");
    write_file(directory / "db/log.txt", "mine, too");
    write_file(directory / "db/log.007", "and this");
    expect_whole(directory / "db");
    EXPECT_EQ(read_file(directory / "db/notes.txt"), "mine");
    EXPECT_EQ(read_file(directory / "db/log.txt"), "mine, too");
    EXPECT_EQ(read_file(directory / "db/log.007"), "and this");
}

TEST(OpenTest, DataFileOfSomebodyElseIsInvalidAndStays) {
    TempDirectory directory;
    std::filesystem::create_directory(directory / "db");
    const std::string theirs(20'000, 'x');
    write_file(directory / "db/data", theirs);
    const Result<Database> opened = Database::open(directory / "db");
    EXPECT_TRUE(is_error(opened, ErrorCode::kInvalid, "db/data", true));
    EXPECT_EQ(read_file(directory / "db/data"), theirs);
}

TEST(OpenTest, LogOfAnotherDatabaseIsCorruption) {
    TempDirectory directory;
    make_database(directory / "db");
    make_database(directory / "other");
    const std::string own = read_file(directory / "db/log.0");
    write_file(directory / "db/log.0", read_file(directory / "other/log.0"));
    EXPECT_TRUE(is_error(Database::open(directory / "db", small()), ErrorCode::kCorruption,
                         "db/log.0", true));
    write_file(directory / "db/log.0", own);
    expect_whole(directory / "db");
}

/// Sets a field in both superblocks, with a checksum that fits.
void set_field(const std::string& path, std::size_t at, std::uint64_t value, std::size_t bytes) {
    std::string data = read_file(path);
    for (std::size_t block = 0; block < 2 * kSuperblockBytes; block += kSuperblockBytes) {
        if (data[block] == '\0') continue;  // Not written yet.
        for (std::size_t i = 0; i < bytes; ++i) {
            data[block + at + i] = static_cast<char>(value >> (8 * i));
        }
        store_le(data.data() + block + kSuperblockBytes - 4,
                 crc32c({data.data() + block, kSuperblockBytes - 4}));
    }
    write_file(path, data);
}

TEST(OpenTest, NewerFormatIsUnsupported) {
    struct Case {
        std::size_t at;
        std::size_t bytes;
        std::uint64_t ours, theirs;
    };
    // The version; bits without which it may not be written; bits without which not even read.
    for (const Case& field :
         {Case{8, 4, 1, 2}, Case{24, 8, 0, 1}, Case{32, 8, 0, std::uint64_t{1} << 63}}) {
        SCOPED_TRACE(field.at);
        TempDirectory directory;
        make_database(directory / "db");
        set_field(directory / "db/data", field.at, field.theirs, field.bytes);
        const std::string before = read_file(directory / "db/data");
        EXPECT_TRUE(is_error(Database::open(directory / "db", small()), ErrorCode::kUnsupported,
                             "db/data"));
        EXPECT_EQ(read_file(directory / "db/data"), before);
        set_field(directory / "db/data", field.at, field.ours, field.bytes);
        expect_whole(directory / "db");
    }
}

TEST(OpenTest, UnknownCompatibleFeaturesDoNoHarm) {
    TempDirectory directory;
    make_database(directory / "db");
    set_field(directory / "db/data", 16, 1, 8);
    expect_whole(directory / "db");
}

// ---- who has it ---------------------------------------------------------------------------------

TEST(OpenTest, SecondOpenOfThisProcessIsBusy) {
    TempDirectory directory;
    make_database(directory / "db");
    {
        Result<Database> first = Database::open(directory / "db", small());
        ASSERT_TRUE(first.ok());
        const Result<Database> second = Database::open(directory / "db", small());
        EXPECT_TRUE(is_error(second, ErrorCode::kBusy, std::to_string(::getpid())));
        EXPECT_NE(second.error().what().find("this process"), std::string_view::npos);
        EXPECT_TRUE(first->find_keyspace("rows").value()->put("another", "row").ok());
        ASSERT_TRUE(first->find_keyspace("rows").value()->erase("another").ok());
    }
    expect_whole(directory / "db");
}

TEST(OpenTest, OpenBesideAnotherProcessIsBusyAndNamesIt) {
    TempDirectory directory;
    make_database(directory / "db");
    ChildProcess holder({"--hold", directory / "db"});
    ASSERT_TRUE(holder.wait_for(0));
    const std::uint64_t its_id = holder.received().front();
    const Result<Database> second = Database::open(directory / "db", small());
    EXPECT_TRUE(is_error(second, ErrorCode::kBusy, std::to_string(its_id)));
    ASSERT_TRUE(holder.kill());
    expect_whole(directory / "db");  // A lock ends with its process.
}

TEST(OpenTest, FileSystemThatIsReadOnlyIsNamed) {
    for (const char* site : {"make directory", "lock lock"}) {
        SCOPED_TRACE(site);
        os::SimFileSystem disk(1);
        disk.fail_at(1, EROFS, site, os::SimFileSystem::kUnlimited);
        const Result<Database> opened = db::open_database(small_engine(disk, "db"));
        ASSERT_TRUE(is_error(opened, ErrorCode::kIo, "db"));
        EXPECT_EQ(opened.error().os_error(), EROFS);
        EXPECT_NE(opened.error().what().find("read-only"), std::string_view::npos);
        disk.clear_faults();
        EXPECT_TRUE(db::open_database(small_engine(disk, "db")).ok());
    }
}

TEST(OpenTest, MissingRightsAreNamed) {
    if (::geteuid() != 0) GTEST_SKIP() << "only root can become somebody without rights";
    TempDirectory directory;
    ASSERT_EQ(::chmod(directory.path().c_str(), 0755), 0);
    make_database(directory / "db");
    ASSERT_EQ(::chmod((directory / "db").c_str(), 0700), 0);
    ChildProcess closed({"--as-nobody", directory / "db"});
    EXPECT_TRUE(closed.wait_for(static_cast<std::uint64_t>(ErrorCode::kIo)));
    EXPECT_TRUE(closed.wait_for(EACCES));
    // May look, may not write.
    ASSERT_EQ(::chmod((directory / "db").c_str(), 0755), 0);
    ChildProcess looking({"--as-nobody", directory / "db"});
    EXPECT_TRUE(looking.wait_for(static_cast<std::uint64_t>(ErrorCode::kIo)));
    EXPECT_TRUE(looking.wait_for(EACCES));
    // May not make one.
    ChildProcess making({"--as-nobody", directory / "new"});
    EXPECT_TRUE(making.wait_for(static_cast<std::uint64_t>(ErrorCode::kIo)));
    EXPECT_TRUE(making.wait_for(EACCES));
    expect_whole(directory / "db");
}

// ---- the other processes ------------------------------------------------------------------------

int hold(const char* path) {
    Result<Database> database = Database::open(path, small());
    if (!database) return 3;
    report(static_cast<std::uint64_t>(::getpid()));
    report(0);
    for (;;) ::pause();
}

/// Tries to open, and reports the error's code and the system's.
int open_as_nobody(const char* path) {
    if (::setgid(kNobody) != 0 || ::setuid(kNobody) != 0) return 3;
    Result<Database> database = Database::open(path, small());
    if (database) return 4;
    report(static_cast<std::uint64_t>(database.error().code()));
    report(static_cast<std::uint64_t>(database.error().os_error()));
    return 0;
}

}  // namespace
}  // namespace fulgur::system_test

int main(int count, char** arguments) {
    const std::string first = count == 3 ? arguments[1] : "";
    if (first == "--hold") return fulgur::system_test::hold(arguments[2]);
    if (first == "--as-nobody") return fulgur::system_test::open_as_nobody(arguments[2]);
    ::testing::InitGoogleTest(&count, arguments);
    return RUN_ALL_TESTS();
}
