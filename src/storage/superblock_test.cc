#include "storage/superblock.h"

#include <gtest/gtest.h>

#include "base/coding.h"
#include "base/crc32c.h"
#include "os/memory_file_system.h"
#include "storage/page_format.h"

namespace fulgur::storage {
namespace {

Superblock sample(std::uint64_t checkpoint) {
    Superblock superblock;
    superblock.compatible = 5;  // Unknown, and harmless.
    superblock.database_id = 0x1122334455667788;
    superblock.checkpoint = checkpoint;
    superblock.replay = Sequence{41};
    superblock.newest = Sequence{kSequenceMax};
    superblock.catalog = {24, 4096, 0xABCD};
    superblock.file_sectors = 32;
    superblock.created_ms = 1'700'000'000'000;
    superblock.compression = 2;
    superblock.log_bytes_kept = 5 << 20;
    return superblock;
}

std::string encoded(const Superblock& superblock) {
    std::string block(Superblock::kEncodedSize, '\xee');
    superblock.encode(std::span<char, Superblock::kEncodedSize>(block));
    return block;
}

void renew_crc(std::string& block) {
    store_le(block.data() + 4092, crc32c(Bytes(block).substr(0, 4092)));
}

ErrorCode code_of(const Result<Superblock>& result) { return result.error().code(); }

struct Files {
    os::MemoryFileSystem disk;
    std::unique_ptr<DataFile> file =
        std::make_unique<DataFile>(disk.open("data", os::FileSystem::Mode::kCreate).value());

    void put(std::uint64_t c) { write_superblock(*file, sample(c)).value(); }
    void put_bytes(std::uint64_t slot, Bytes bytes) {
        file->write(slot * kBlockSectors, bytes).value();
    }
};

TEST(SuperblockTest, ComesBackAsItWasWritten) {
    for (const std::uint64_t c : {1, 2, 1000}) {
        const std::string block = encoded(sample(c));
        EXPECT_EQ(Superblock::decode(block, Superblock::position_of(c)).value(), sample(c));
    }
}

TEST(SuperblockTest, HasTheBytesOfTheFormat) {
    const std::string block = encoded(sample(3));
    EXPECT_EQ(block.substr(0, 8), "FULGURDB");
    EXPECT_EQ(load_le<std::uint32_t>(&block[8]), 1U);
    EXPECT_EQ(load_le<std::uint64_t>(&block[40]), 0x1122334455667788U);
    EXPECT_EQ(load_le<std::uint64_t>(&block[48]), 3U);
    EXPECT_EQ(load_le<std::uint64_t>(&block[56]), 41U);
    EXPECT_EQ(load_le<std::uint64_t>(&block[72]), 24U);
    EXPECT_EQ(load_le<std::uint64_t>(&block[96]), 32U);
    EXPECT_EQ(block.substr(112, 8), std::string("\2\0\0\0\0\0\0\0", 8));
    EXPECT_EQ(load_le<std::uint64_t>(&block[120]), 5U << 20);
    EXPECT_EQ(block.find_first_not_of('\0', 128), 4092U);
}

TEST(SuperblockTest, NoticesEveryFlippedBit) {
    const std::string good = encoded(sample(1));
    for (std::size_t byte = 0; byte < good.size(); ++byte) {
        for (int bit = 0; bit < 8; ++bit) {
            std::string bad = good;
            bad[byte] = static_cast<char>(bad[byte] ^ (1 << bit));
            const Result<Superblock> decoded = Superblock::decode(bad, 4096);
            ASSERT_FALSE(decoded.ok()) << byte << "." << bit;
            ASSERT_EQ(code_of(decoded), byte < 8 ? ErrorCode::kInvalid : ErrorCode::kCorruption);
            ASSERT_EQ(decoded.error().offset(), 4096U);
        }
    }
}

TEST(SuperblockTest, RejectsMisdirectedWrite) {
    EXPECT_EQ(code_of(Superblock::decode(encoded(sample(1)), 0)), ErrorCode::kCorruption);
    EXPECT_EQ(code_of(Superblock::decode(encoded(sample(2)), 4096)), ErrorCode::kCorruption);
}

TEST(SuperblockTest, TellsNewerFormatFromDamage) {
    std::string newer = encoded(sample(1));
    store_le(newer.data() + 8, Superblock::kFormatVersion + 1);
    EXPECT_EQ(code_of(Superblock::decode(newer, 4096)), ErrorCode::kCorruption);
    renew_crc(newer);
    EXPECT_EQ(code_of(Superblock::decode(newer, 4096)), ErrorCode::kUnsupported);

    std::string features = encoded(sample(1));
    features[32 + 7] = 1;
    renew_crc(features);
    const Result<Superblock> decoded = Superblock::decode(features, 4096);
    EXPECT_EQ(code_of(decoded), ErrorCode::kUnsupported);
    EXPECT_NE(decoded.error().what().find("newer fulgur"), std::string_view::npos);
}

TEST(SuperblockTest, AllowsReadingWithUnknownReadOnlyCompatibleFeatures) {
    Superblock superblock = sample(1);
    EXPECT_TRUE(superblock.writable());
    superblock.read_only_compatible = 1;
    EXPECT_FALSE(Superblock::decode(encoded(superblock), 4096)->writable());
}

TEST(SuperblockTest, RejectsWhatNoWriterWrites) {
    const auto refused = [](auto change) {
        Superblock superblock = sample(1);
        change(superblock);
        const Result<Superblock> decoded = Superblock::decode(encoded(superblock), 4096);
        return !decoded.ok() && code_of(decoded) == ErrorCode::kCorruption;
    };
    EXPECT_TRUE(refused([](Superblock& s) { s.format_version = 0; }));
    EXPECT_TRUE(refused([](Superblock& s) { s.replay = Sequence{kSequenceMax + 1}; }));
    EXPECT_TRUE(refused([](Superblock& s) { s.newest = Sequence{kSequenceMax + 1}; }));
    EXPECT_TRUE(refused([](Superblock& s) { s.file_sectors = 8; }));
    EXPECT_TRUE(refused([](Superblock& s) { s.file_sectors = 33; }));
    EXPECT_TRUE(refused([](Superblock& s) { s.file_sectors = ~std::uint64_t{7}; }));
    EXPECT_TRUE(refused([](Superblock& s) { s.catalog.sector = 8; }));
    EXPECT_TRUE(refused([](Superblock& s) { s.catalog.length = 4097; }));
    EXPECT_TRUE(refused([](Superblock& s) { s.catalog.length = ~std::uint64_t{0}; }));
    EXPECT_FALSE(refused([](Superblock& s) { s.catalog = {}; }));
}

TEST(SuperblockTest, KnowsAForeignFileAndABlankOne) {
    EXPECT_EQ(code_of(Superblock::decode("#!/bin/sh\n", 0)), ErrorCode::kInvalid);
    EXPECT_EQ(code_of(Superblock::decode("", 0)), ErrorCode::kCorruption);
    EXPECT_EQ(code_of(Superblock::decode(std::string(4096, '\0'), 0)), ErrorCode::kCorruption);
    EXPECT_EQ(code_of(Superblock::decode("FULGURDB and no more", 0)), ErrorCode::kCorruption);
}

TEST(ChooseSuperblockTest, TakesTheGreaterCheckpoint) {
    for (const std::uint64_t c : {1, 2, 7, 8}) {
        Files files;
        files.put(c + 1);
        files.put(c);
        const SuperblockChoice choice = choose_superblock(*files.file).value();
        EXPECT_EQ(choice.superblock.checkpoint, c + 1);
        EXPECT_FALSE(choice.other.has_value());
    }
}

TEST(ChooseSuperblockTest, FallsBackToTheOlderOneAndSaysSo) {
    Files files;
    files.put(6);
    std::string torn = encoded(sample(7));
    torn.replace(512, 3584, encoded(sample(5)).substr(512));  // Later sectors of the one before.
    store_le(torn.data() + 4092, 12345U);
    files.put_bytes(1, torn);
    const SuperblockChoice choice = choose_superblock(*files.file).value();
    EXPECT_EQ(choice.superblock.checkpoint, 6U);
    ASSERT_TRUE(choice.other.has_value());
    EXPECT_EQ(choice.other->code(), ErrorCode::kCorruption);
    EXPECT_EQ(choice.other->where(), "data");
    EXPECT_EQ(choice.other->offset(), 4096U);
}

TEST(ChooseSuperblockTest, AcceptsAFileWithOneSuperblock) {
    Files files;
    files.put(1);
    EXPECT_EQ(choose_superblock(*files.file)->superblock.checkpoint, 1U);
}

TEST(ChooseSuperblockTest, RefusesWhenEitherIsNewer) {
    for (const std::uint64_t newer : {1, 2}) {
        Files files;
        files.put(3 - newer);
        Superblock superblock = sample(newer);
        superblock.format_version = 2;
        write_superblock(*files.file, superblock).value();
        const Result<SuperblockChoice> choice = choose_superblock(*files.file);
        ASSERT_FALSE(choice.ok());
        EXPECT_EQ(choice.error().code(), ErrorCode::kUnsupported);
    }
}

TEST(ChooseSuperblockTest, GivesTheErrorThatSaysMost) {
    const auto code_with = [](Bytes even, Bytes odd) {
        Files files;
        if (!even.empty()) files.put_bytes(0, even);
        if (!odd.empty()) files.put_bytes(1, odd);
        return choose_superblock(*files.file).error().code();
    };
    std::string damaged = encoded(sample(1));
    damaged[100] ^= 1;
    EXPECT_EQ(code_with("", damaged), ErrorCode::kCorruption);
    EXPECT_EQ(code_with("some text", damaged), ErrorCode::kCorruption);
    EXPECT_EQ(code_with("some text", ""), ErrorCode::kInvalid);
    EXPECT_EQ(code_with("", ""), ErrorCode::kCorruption);
}

TEST(ChooseSuperblockTest, RefusesSuperblocksOfTwoDatabases) {
    Files files;
    files.put(1);
    Superblock other = sample(2);
    other.database_id = 9;
    write_superblock(*files.file, other).value();
    EXPECT_EQ(choose_superblock(*files.file).error().code(), ErrorCode::kCorruption);
}

TEST(DataFileTest, NamesTheByteWhereTheFileEnds) {
    Files files;
    files.put_bytes(0, std::string(700, 'x'));
    std::string into(512, '\0');
    EXPECT_TRUE(files.file->read(0, into).ok());
    const Result<void> past = files.file->read(1, into);
    ASSERT_FALSE(past.ok());
    EXPECT_EQ(past.error().code(), ErrorCode::kCorruption);
    EXPECT_EQ(past.error().offset(), 700U);
    EXPECT_EQ(past.error().where(), "data");
}

TEST(DataFileTest, CountsWhatItDid) {
    Files files;
    files.put_bytes(1, "abcdef");
    std::string into(3, '\0');
    files.file->read(8, 2, into).value();
    files.file->sync().value();
    EXPECT_EQ(into, "cde");
    const DataFile::Counters counters = files.file->counters();
    EXPECT_EQ(counters.writes, 1U);
    EXPECT_EQ(counters.bytes_written, 6U);
    EXPECT_EQ(counters.reads, 1U);
    EXPECT_EQ(counters.bytes_read, 3U);
    EXPECT_EQ(counters.syncs, 1U);
}

}  // namespace
}  // namespace fulgur::storage
