// Damaged files: flipped bits and cut ends, anywhere in the log, the superblocks and the pages.
// Whatever is shown afterwards is right, or it is an error that names the file and the byte.
//
// A seed decides where the damage is: FULGUR_SEED=n runs that one alone, FULGUR_SEEDS=n sets how
// many, FULGUR_LONG=1 runs ten times as many.
#include <gtest/gtest.h>

#include <iostream>
#include <set>
#include <span>

#include "base/hash.h"
#include "os/random.h"
#include "storage/meta.h"
#include "storage/superblock.h"
#include "storage/tree_node.h"
#include "tests/bad_days.h"

namespace fulgur::system_test {
namespace {

constexpr std::uint64_t kSuperblockBytes = 4096;

/// A database that is closed, and what must be in it.
class Patient {
public:
    static constexpr std::size_t kValueBytes = 300;
    static constexpr const char* kData = "db/data";

    /// @param imaged  rows that a checkpoint wrote; @param logged  rows that only the log has
    Patient(std::uint64_t imaged, std::uint64_t logged) {
        Result<Database> database = open(disk_);
        EXPECT_TRUE(database.ok());
        Result<Keyspace> keyspace = database->keyspace("rows");
        for (; rows_ < imaged + logged; ++rows_) {
            if (rows_ == imaged && imaged != 0) {
                EXPECT_TRUE(database->checkpoint().ok());
                imaged_ = number(database->stats().checkpointed);
            }
            EXPECT_TRUE(keyspace->put(row_key(rows_), row_value(rows_, size_of(rows_))).ok());
        }
        if (logged == 0) {
            EXPECT_TRUE(database->checkpoint().ok());
            imaged_ = number(database->stats().checkpointed);
        }
    }

    /// Some rows have values that lie outside their page.
    static std::size_t size_of(std::uint64_t row) {
        return row % 100 == 50 ? 20'000 : row % 100 == 0 ? 270'000 : kValueBytes;
    }

    static Result<Database> open(os::SimFileSystem& disk) {
        db::EngineOptions options = small_engine(disk, "db");
        options.user.log_bytes_target = 32_MiB;
        options.user.checkpoint_on_close = false;
        return db::open_database(options);
    }

    /// Segments are log.0, log.1, ...
    std::uint64_t logs() {
        std::uint64_t n = 0;
        while (disk_.contents("db/log." + std::to_string(n)).ok()) ++n;
        return n;
    }
    std::unique_ptr<os::SimFileSystem> copy() { return disk_.recover_after_kill(1); }
    std::uint64_t rows() const { return rows_; }
    /// Sequence of the newest checkpoint; the keyspace itself is sequence 1.
    std::uint64_t imaged() const { return imaged_; }

private:
    os::SimFileSystem disk_{1};
    std::uint64_t rows_ = 0;
    std::uint64_t imaged_ = 0;
};

void cut(os::SimFileSystem& disk, const std::string& path, std::uint64_t size) {
    Result<std::unique_ptr<os::File>> file = disk.open(path, os::FileSystem::Mode::kReadWrite);
    ASSERT_TRUE(file.ok());
    ASSERT_TRUE((*file)->resize(size).ok());
    ASSERT_TRUE((*file)->sync().ok());
}

std::uint64_t size_of_file(os::SimFileSystem& disk, const std::string& path) {
    return disk.contents(path).value().size();
}

::testing::AssertionResult names_damage(const Error& error) {
    if (error.code() != ErrorCode::kCorruption) {
        return ::testing::AssertionFailure() << "another error: " << error.message();
    }
    if (error.where().empty()) {
        return ::testing::AssertionFailure() << "names no file: " << error.message();
    }
    return ::testing::AssertionSuccess();
}

/// What reading everything came to.
struct Outcome {
    std::uint64_t right = 0;
    std::uint64_t refused = 0;
};

/// Each row that commit `visible` has is right, or refused with the place of the damage.
Outcome read_all(Database& database, std::uint64_t visible) {
    Outcome outcome;
    Result<std::optional<Keyspace>> keyspace = database.find_keyspace("rows");
    if (visible == 0) return outcome;
    EXPECT_TRUE(keyspace.ok() && *keyspace);
    if (!keyspace || !*keyspace) return outcome;
    Reader reader = database.reader();
    for (std::uint64_t n = 0; n + 1 < visible; ++n) {
        const Result<std::optional<Bytes>> found = reader.get(**keyspace, row_key(n));
        if (!found) {
            EXPECT_TRUE(names_damage(found.error()));
            EXPECT_NE(found.error().offset(), Error::kNoOffset) << found.error().message();
            EXPECT_NE(found.error().where().find("data"), std::string_view::npos);
            ++outcome.refused;
            continue;
        }
        EXPECT_TRUE(*found && **found == row_value(n, Patient::size_of(n))) << "row " << n;
        ++outcome.right;
    }
    // A walk shows the same, or ends with the error.
    std::uint64_t n = 0;
    Cursor cursor = reader.cursor(**keyspace);
    for (; cursor.valid(); cursor.next(), ++n) {
        EXPECT_EQ(cursor.key(), row_key(n));
        EXPECT_EQ(cursor.value_size(), Patient::size_of(n));
    }
    if (cursor.status().ok()) {
        EXPECT_EQ(n + 1, visible);
    } else {
        EXPECT_TRUE(names_damage(cursor.status().error()));
        EXPECT_GT(outcome.refused, 0u);
    }
    return outcome;
}

class DamageTest : public ::testing::Test {
protected:
    Seeds seeds_{kSlowBuild ? 150u : 600u};
};

// ---- the log ------------------------------------------------------------------------------------

TEST_F(DamageTest, FlippedBitOfTheLogIsCorruptionOrCostsTheLastCommitOnly) {
    Patient patient(0, 200);
    std::uint64_t refused = 0, cut_off = 0;
    for (std::uint64_t seed = seeds_.first; seed <= seeds_.last && !HasFailure(); ++seed) {
        SCOPED_TRACE(::testing::Message() << "run again with FULGUR_SEED=" << seed);
        os::Random random(seed);
        auto disk = patient.copy();
        const std::string log = "db/log." + std::to_string(random.below(patient.logs()));
        const std::string bytes = disk->contents(log).value();
        // Most of a log that is synced often is zeros between records.
        std::uint64_t at = random.below(bytes.size());
        if (!random.one_in(8)) at = bytes.find_last_not_of('\0', at);
        if (at >= bytes.size()) continue;
        const auto mask = static_cast<std::uint8_t>(1 << random.below(8));
        ASSERT_TRUE(disk->corrupt(log, at, mask).ok());
        Result<Database> database = Patient::open(*disk);
        if (!database) {
            ++refused;
            EXPECT_TRUE(names_damage(database.error()));
            EXPECT_NE(database.error().where().find("log."), std::string_view::npos)
                << database.error().message();
            EXPECT_NE(database.error().offset(), Error::kNoOffset) << database.error().message();
            continue;
        }
        const std::uint64_t visible = number(database->stats().visible);
        EXPECT_GE(visible, patient.rows());  // The keyspace, and all rows but the last one.
        cut_off += visible == patient.rows() ? 1 : 0;
        EXPECT_EQ(read_all(*database, visible).refused, 0u);
    }
    std::cout << refused << " refused, " << cut_off << " cut\n";
    EXPECT_TRUE(seeds_.first == seeds_.last || refused > 0);
}

TEST_F(DamageTest, CutLogIsCorruptionOrAPrefix) {
    // With a checkpoint the log must reach what is in it, cut or not.
    Patient with_images(150, 100), logged(0, 150);
    for (std::uint64_t seed = seeds_.first; seed <= seeds_.last && !HasFailure(); ++seed) {
        SCOPED_TRACE(::testing::Message() << "run again with FULGUR_SEED=" << seed);
        os::Random random(seed);
        Patient& patient = random.below(2) == 0 ? with_images : logged;
        auto disk = patient.copy();
        cut(*disk, "db/log.0", random.below(size_of_file(*disk, "db/log.0")));
        Result<Database> database = Patient::open(*disk);
        if (!database) {
            EXPECT_TRUE(names_damage(database.error()));
            continue;
        }
        const std::uint64_t visible = number(database->stats().visible);
        EXPECT_GE(visible, patient.imaged());
        EXPECT_EQ(read_all(*database, visible).refused, 0u);
    }
}

TEST_F(DamageTest, MissingLogIsCorruptionWhenItIsNeeded) {
    Patient patient(150, 100);
    auto disk = patient.copy();
    const Result<std::vector<std::string>> names = disk->list("db");
    ASSERT_TRUE(names.ok());
    for (const std::string& name : *names) {
        if (!name.starts_with("log.")) continue;
        ASSERT_TRUE(disk->remove("db/" + name).ok());
    }
    EXPECT_TRUE(is_error(Patient::open(*disk), ErrorCode::kCorruption, "db"));
}

// ---- superblocks --------------------------------------------------------------------------------

TEST_F(DamageTest, OneDamagedSuperblockIsReplacedByTheOther) {
    Patient patient(150, 50);
    for (std::uint64_t seed = seeds_.first; seed <= seeds_.last && !HasFailure(); ++seed) {
        SCOPED_TRACE(::testing::Message() << "run again with FULGUR_SEED=" << seed);
        os::Random random(seed);
        auto disk = patient.copy();
        const std::uint64_t at = random.below(2 * kSuperblockBytes);
        ASSERT_TRUE(
            disk->corrupt(Patient::kData, at, static_cast<std::uint8_t>(1 << random.below(8)))
                .ok());
        Result<Database> database = Patient::open(*disk);
        ASSERT_TRUE(database.ok()) << database.error().message();
        const std::uint64_t visible = number(database->stats().visible);
        EXPECT_EQ(visible, patient.rows() + 1);
        EXPECT_EQ(read_all(*database, visible).refused, 0u);
        // The damaged one is written again by the checkpoints to come.
        ASSERT_TRUE(database->checkpoint().ok() && database->checkpoint().ok());
        EXPECT_TRUE(database->verify().ok());
    }
}

TEST_F(DamageTest, TwoDamagedSuperblocksAreCorruption) {
    Patient patient(150, 50);
    for (std::uint64_t seed = seeds_.first; seed <= seeds_.last && !HasFailure(); ++seed) {
        SCOPED_TRACE(::testing::Message() << "run again with FULGUR_SEED=" << seed);
        os::Random random(seed);
        auto disk = patient.copy();
        // Behind the magic: without that it would be somebody else's file.
        for (const std::uint64_t block : {std::uint64_t{0}, kSuperblockBytes}) {
            const std::uint64_t at = block + 8 + random.below(kSuperblockBytes - 8);
            const auto mask = static_cast<std::uint8_t>(1 << random.below(8));
            ASSERT_TRUE(disk->corrupt(Patient::kData, at, mask).ok());
        }
        const std::string before = disk->contents(Patient::kData).value();
        EXPECT_TRUE(is_error(Patient::open(*disk), ErrorCode::kCorruption, "db/data", true));
        EXPECT_TRUE(disk->contents(Patient::kData).value() == before);
    }
}

// ---- pages, large values, the catalog
// ------------------------------------------------------------

TEST_F(DamageTest, FlippedBitOfTheCatalogIsCorruption) {
    Patient patient(150, 50);
    const std::string bytes = patient.copy()->contents(Patient::kData).value();
    storage::Superblock newest;
    for (const std::uint64_t position : {0, 4096}) {
        const Bytes block = Bytes(bytes).substr(position, storage::Superblock::kEncodedSize);
        const Result<storage::Superblock> decoded = storage::Superblock::decode(block, position);
        if (decoded && decoded->checkpoint >= newest.checkpoint) newest = *decoded;
    }
    ASSERT_NE(newest.catalog.length, 0u);
    const std::uint64_t begin = newest.catalog.sector * storage::kSectorBytes;
    for (std::uint64_t at = 0; at < newest.catalog.length && !HasFailure(); at += 61) {
        auto disk = patient.copy();
        ASSERT_TRUE(disk->corrupt(Patient::kData, begin + at, 1).ok());
        Result<Database> database = Patient::open(*disk);
        ASSERT_FALSE(database.ok()) << "byte " << at;
        EXPECT_TRUE(names_damage(database.error()));
        EXPECT_EQ(database.error().offset(), begin) << database.error().message();
    }
}

TEST_F(DamageTest, FlippedBitOfTheDataFileIsNeverShown) {
    // Verification is about the checkpoint: the log's rows have no values outside it.
    Patient patient(1'001, 20);
    std::uint64_t refused_opens = 0, refused_rows = 0;
    for (std::uint64_t seed = seeds_.first; seed <= seeds_.last && !HasFailure(); ++seed) {
        SCOPED_TRACE(::testing::Message() << "run again with FULGUR_SEED=" << seed);
        os::Random random(seed);
        auto disk = patient.copy();
        const std::uint64_t size = size_of_file(*disk, Patient::kData);
        // Pages are few beside large values: half of the flips go where pages are.
        std::uint64_t at = 2 * kSuperblockBytes + random.below(size - 2 * kSuperblockBytes);
        if (random.below(2) == 0)
            at = size - 1 - random.below(std::min<std::uint64_t>(size / 8, 400'000));
        ASSERT_TRUE(
            disk->corrupt(Patient::kData, at, static_cast<std::uint8_t>(1 << random.below(8)))
                .ok());
        Result<Database> database = Patient::open(*disk);
        if (!database) {
            EXPECT_TRUE(names_damage(database.error()));
            EXPECT_NE(database.error().offset(), Error::kNoOffset);
            ++refused_opens;
            continue;
        }
        const std::uint64_t visible = number(database->stats().visible);
        ASSERT_EQ(visible, patient.rows() + 1);
        const Outcome outcome = read_all(*database, visible);
        const Result<Database::VerifyReport> sound = database->verify();
        EXPECT_TRUE(sound.ok() || names_damage(sound.error()));
        EXPECT_TRUE(outcome.refused == 0 || !sound.ok()) << "verify does not see the damage";
        refused_rows += outcome.refused;
    }
    std::cout << refused_opens << " opens and " << refused_rows << " rows refused\n";
    EXPECT_TRUE(seeds_.first == seeds_.last || refused_rows > 0);
}

TEST_F(DamageTest, CutDataFileIsNeverShown) {
    Patient patient(1'000, 20);
    for (std::uint64_t seed = seeds_.first; seed <= seeds_.last && !HasFailure(); ++seed) {
        SCOPED_TRACE(::testing::Message() << "run again with FULGUR_SEED=" << seed);
        os::Random random(seed);
        auto disk = patient.copy();
        std::uint64_t size = random.below(size_of_file(*disk, Patient::kData));
        if (random.one_in(4)) size = random.below(3 * kSuperblockBytes);
        cut(*disk, Patient::kData, size);
        Result<Database> database = Patient::open(*disk);
        if (!database) {
            EXPECT_TRUE(names_damage(database.error()) ||
                        is_error(database, ErrorCode::kInvalid, "db/data"));
            continue;
        }
        read_all(*database, number(database->stats().visible));
    }
}

TEST_F(DamageTest, DamageElsewhereLeavesTheRestToReadAndToWrite) {
    Patient patient(1'000, 0);
    auto disk = patient.copy();
    const std::string data = disk->contents(Patient::kData).value();
    const std::size_t at = data.find(row_value(501, Patient::kValueBytes));
    ASSERT_NE(at, std::string::npos);
    ASSERT_TRUE(disk->corrupt(Patient::kData, at, 1).ok());
    Result<Database> database = Patient::open(*disk);
    ASSERT_TRUE(database.ok());
    Result<Keyspace> keyspace = database->keyspace("rows");
    EXPECT_TRUE(is_error(keyspace->get(row_key(501)), ErrorCode::kCorruption, "data", true));
    EXPECT_TRUE(is_error(keyspace->put(row_key(501), "new"), ErrorCode::kCorruption, "data", true));
    EXPECT_TRUE(is_error(database->verify(), ErrorCode::kCorruption, "data", true));
    EXPECT_FALSE(database->stats().poisoned);
    EXPECT_TRUE(**keyspace->get(row_key(1)) == row_value(1, Patient::size_of(1)));
    EXPECT_TRUE(keyspace->put(row_key(1), "new").ok());
    EXPECT_TRUE(database->close().ok());
}

/// Changes the newest checkpoint as a bug would: all checksums fit afterwards.
/// `change(meta, data)` may change the catalog, and the bytes of the file.
template <typename Change>
void forge(os::SimFileSystem& disk, const Change& change) {
    std::string data = disk.contents(Patient::kData).value();
    storage::Superblock newest;
    for (const std::uint64_t slot : {0, 1}) {
        const std::uint64_t position = storage::Superblock::position_of(slot);
        const auto found = storage::Superblock::decode(
            {data.data() + position, storage::Superblock::kEncodedSize}, position);
        if (found && found->checkpoint > newest.checkpoint) newest = *found;
    }
    const std::size_t at = newest.catalog.sector * storage::kSectorBytes;
    const std::size_t length = newest.catalog.length;
    auto meta = storage::Meta::decode(Bytes(data).substr(at, length), newest.file_sectors);
    ASSERT_TRUE(meta.ok());
    change(*meta, data);
    const std::string catalog = meta->encode(length);
    ASSERT_EQ(catalog.size(), length);
    data.replace(at, length, catalog);
    newest.catalog.checksum = hash64(catalog);
    char* const block = data.data() + storage::Superblock::position_of(newest.checkpoint);
    newest.encode(std::span<char, storage::Superblock::kEncodedSize>(
        block, storage::Superblock::kEncodedSize));
    auto file = disk.open(Patient::kData, os::FileSystem::Mode::kReadWrite);
    ASSERT_TRUE(file.ok());
    ASSERT_TRUE((*file)->write_at(0, data).ok());
}

TEST_F(DamageTest, VerifySeesAFingerprintThatHidesItsKey) {
    Patient patient(20, 0);
    auto disk = patient.copy();
    forge(*disk, [](storage::Meta&, std::string&) {});
    EXPECT_TRUE(Patient::open(*disk)->verify().ok());
    forge(*disk, [](storage::Meta& meta, std::string& data) {
        storage::PageRef& root = meta.keyspaces.at(0).root;
        ASSERT_EQ(root.level, 0);
        ASSERT_EQ(root.codec, 0);
        const std::size_t at = root.sector * storage::kSectorBytes;
        data[at + sizeof(storage::PageHeader) + 3] ^= 0x55;
        root.checksum = hash64(Bytes(data).substr(at, root.length));
    });
    Result<Database> database = Patient::open(*disk);
    ASSERT_TRUE(database.ok());
    EXPECT_FALSE(database->keyspace("rows")->get(row_key(3))->has_value());
    EXPECT_TRUE(is_error(database->verify(), ErrorCode::kCorruption, "data", true));
}

/// Who owns space by that list alone would let it go when the tree is dropped, or never.
TEST_F(DamageTest, VerifySeesAListOfUpperPagesThatIsNotTheTrees) {
    Patient patient(300, 0);
    auto disk = patient.copy();
    forge(*disk, [](storage::Meta& meta, std::string&) {
        ASSERT_FALSE(meta.free.empty());
        meta.keyspaces.at(0).upper.push_back(meta.free.back());
        meta.free.pop_back();
    });
    Result<Database> database = Patient::open(*disk);
    ASSERT_TRUE(database.ok());
    EXPECT_TRUE(is_error(database->verify(), ErrorCode::kCorruption, "data", true));
}

}  // namespace
}  // namespace fulgur::system_test
