// Every driver passes the conformance suite, and what each of them does beyond it.
//
// FULGUR_SEED=n runs the random checks with one seed; FULGUR_LONG=1 more of them.
#include <gtest/gtest.h>

#include <fulgur/database.h>
#include <fulgur/store.h>

#include <stdlib.h>

#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>
#include <tuple>

#include "os/sim_clock.h"
#include "store/conformance.h"
#include "store/embedded.h"
#include "store/portable.h"
#include "store/url.h"

namespace fulgur::store {
namespace {

#if defined(__SANITIZE_THREAD__)
constexpr std::uint64_t kEffortPercent = 15;
#elif defined(__SANITIZE_ADDRESS__) || !defined(NDEBUG)
constexpr std::uint64_t kEffortPercent = 40;
#else
constexpr std::uint64_t kEffortPercent = 100;
#endif

std::uint64_t from_environment(const char* name) {
    const char* const text = std::getenv(name);
    return text == nullptr ? 0 : std::strtoull(text, nullptr, 10);
}

/// Removed at the end.
class TempDirectory {
public:
    TempDirectory() {
        std::string name = std::filesystem::temp_directory_path() / "fulgur_store_XXXXXX";
        if (::mkdtemp(name.data()) == nullptr) std::abort();
        path_ = name;
    }
    ~TempDirectory() {
        std::error_code ignored;
        std::filesystem::remove_all(path_, ignored);
    }
    TempDirectory(const TempDirectory&) = delete;
    TempDirectory& operator=(const TempDirectory&) = delete;

    std::string path() const { return path_; }
    std::string operator/(const std::string& name) const { return path_ / name; }

private:
    std::filesystem::path path_;
};

std::unique_ptr<Store> open(const std::string& url) {
    Result<std::unique_ptr<Store>> opened = Store::open(url);
    if (!opened) ADD_FAILURE() << url << ": " << opened.error().message();
    return opened ? *std::move(opened) : nullptr;
}

// ---- the suite ----------------------------------------------------------------------------------

struct Driver {
    const char* name;
    const char* url;  ///< DIR stands for a directory of the test's own, SEED for the seed.
    std::uint64_t seeds;
};

constexpr Driver kDrivers[] = {
    {"Embedded", "fulgur:DIR/db?budget=64MiB&durability=os", 1},
    {"EmbeddedInALittleMemory", "fulgur:DIR/db?budget=8MiB&durability=buffered", 1},
    {"Portable", "portable:?budget=64MiB&seed=SEED", 4},
    {"PortableAndRough", "portable:?budget=64MiB&seed=SEED&one_in=3", 3},
    {"PortableWithoutFailures", "portable:?budget=64MiB&one_in=0", 1},
    {"PortableOnDisk", "portable:DIR/db?budget=64MiB&seed=SEED&durability=buffered", 1},
};

class ConformanceTest : public ::testing::TestWithParam<std::tuple<Driver, ConformanceCheck>> {};

void replace(std::string& text, const std::string& word, const std::string& with) {
    const std::size_t at = text.find(word);
    if (at != std::string::npos) text.replace(at, word.size(), with);
}

TEST_P(ConformanceTest, Passes) {
    const auto& [driver, check] = GetParam();
    const std::uint64_t only = from_environment("FULGUR_SEED");
    const std::uint64_t first = only != 0 ? only : 1;
    const std::uint64_t count = driver.seeds * (from_environment("FULGUR_LONG") != 0 ? 10 : 1);
    for (std::uint64_t seed = first; seed < first + (only != 0 ? 1 : count); ++seed) {
        SCOPED_TRACE(::testing::Message() << "run again with FULGUR_SEED=" << seed);
        const TempDirectory directory;
        std::string url = driver.url;
        replace(url, "DIR", directory.path());
        replace(url, "SEED", std::to_string(seed));
        const std::unique_ptr<Store> store = open(url);
        ASSERT_NE(store, nullptr);
        ConformanceOptions options;
        options.seed = seed;
        options.effort_percent = kEffortPercent;
        const std::optional<std::string> failure = run_check(check, *store, options);
        ASSERT_FALSE(failure.has_value()) << *failure;
        const Result<void> closed = store->close();
        ASSERT_TRUE(closed.ok()) << closed.error().message();
    }
}

INSTANTIATE_TEST_SUITE_P(Store, ConformanceTest,
                         ::testing::Combine(::testing::ValuesIn(kDrivers),
                                            ::testing::ValuesIn(conformance_checks().begin(),
                                                                conformance_checks().end())),
                         [](const auto& test) {
                             return std::string(std::get<0>(test.param).name) +
                                    std::get<1>(test.param).name;
                         });

TEST(ConformanceWithAClockTest, RefusesWhatIsTooOld) {
    for (const ConformanceCheck& check : conformance_checks()) {
        if (std::string(check.name) != "RefusesWhatIsTooOld") continue;
        os::SimClock clock;
        Url url = Url::parse("fulgur:?budget=64MiB").value();
        const std::unique_ptr<Store> store =
            make_portable(open_embedded(url, true).value(), {.seed = 5, .clock = &clock});
        ConformanceOptions options;
        options.pass_time = [&](std::uint64_t ms) { clock.advance_ms(ms); };
        const std::optional<std::string> failure = run_check(check, *store, options);
        EXPECT_FALSE(failure.has_value()) << *failure;
    }
}

// ---- the embedded engine ------------------------------------------------------------------------

class EmbeddedStoreTest : public ::testing::Test {
protected:
    void put(Bytes key, Bytes value) {
        const Result<Version> done =
            store->run([&](StoreTransaction& transaction) { return transaction.put(key, value); });
        ASSERT_TRUE(done.ok()) << done.error().message();
    }
    std::unique_ptr<StoreTransaction> begin() { return store->begin().value(); }

    static Options options() {
        Options options;
        options.memory_budget = 64_MiB;
        return options;
    }
    Database database = Database::in_memory(options()).value();
    std::unique_ptr<Store> store = Store::over(database).value();
};

TEST_F(EmbeddedStoreTest, IsAKeyspaceOfADatabase) {
    put("a", "1");
    const Keyspace rows = database.keyspace("default").value();
    EXPECT_EQ(rows.get("a").value(), "1");
    ASSERT_TRUE(rows.put("b", "2").ok());
    EXPECT_EQ(*begin()->get("b").value(), "2");
    // What the engine can do without, it does without.
    EXPECT_EQ(database.keyspace_names().size(), 1u);
    ASSERT_TRUE(store->close().ok());
    EXPECT_EQ(rows.get("a").value(), "1");
}

TEST_F(EmbeddedStoreTest, WritersOfTheKeyspaceConflictToo) {
    put("a", "1");
    const auto transaction = begin();
    EXPECT_EQ(*transaction->get("a").value(), "1");
    ASSERT_TRUE(database.keyspace("default").value().put("a", "2").ok());
    ASSERT_TRUE(transaction->put("b", "1").ok());
    EXPECT_EQ(transaction->commit().error().code(), ErrorCode::kConflict);
}

/// A page ends at its last row: what lies behind it was not read.
TEST_F(EmbeddedStoreTest, PagesReadNoFurtherThanTheirRows) {
    for (const bool reverse : {false, true}) {
        for (const char* key : {"a", "b", "c", "d"}) put(key, "1");
        const auto transaction = begin();
        const StorePage page =
            transaction->range(everything(), {.limit = 2, .reverse = reverse}).value();
        ASSERT_EQ(page.rows.size(), 2u);
        EXPECT_EQ(page.rows[1].key, reverse ? "c" : "b");
        put(reverse ? "a" : "d", "2");
        put(reverse ? "b+" : "b++", "2");
        ASSERT_TRUE(transaction->put("x", "1").ok());
        const Result<Version> done = transaction->commit();
        EXPECT_TRUE(done.ok()) << done.error().message();
        ASSERT_TRUE(
            store->run([](StoreTransaction& all) { return all.erase_range(everything()); }).ok());
    }
}

TEST_F(EmbeddedStoreTest, SnapshotReadsAreNotChecked) {
    for (const char* key : {"a", "b", "c"}) put(key, "1");
    const auto transaction = begin();
    EXPECT_EQ(*transaction->get("a", ReadMode::kSnapshot).value(), "1");
    const std::vector<Bytes> keys = {"a", "b"};
    std::vector<std::optional<Bytes>> values(2);
    ASSERT_TRUE(transaction->get_many(keys, values, ReadMode::kSnapshot).ok());
    for (const bool reverse : {false, true}) {
        const RangeOptions snapshot{.reverse = reverse, .mode = ReadMode::kSnapshot};
        EXPECT_EQ(transaction->range(everything(), snapshot).value().rows.size(), 3u);
    }
    for (const char* key : {"a", "b", "bb", "c"}) put(key, "2");
    EXPECT_EQ(*transaction->get("a", ReadMode::kSnapshot).value(), "1");
    ASSERT_TRUE(transaction->put("x", "1").ok());
    const Result<Version> done = transaction->commit();
    EXPECT_TRUE(done.ok()) << done.error().message();
}

TEST_F(EmbeddedStoreTest, ViewsLastUntilTheTransactionEnds) {
    for (int n = 0; n < 200; ++n) put("key" + std::to_string(n), std::string(50, 'v'));
    const auto transaction = begin();
    const Bytes value = **transaction->get("key7");
    std::vector<StorePage> pages;
    RangeOptions options{.limit = 9};
    do {
        pages.push_back(transaction->range(everything(), options).value());
        options.continuation = pages.back().continuation;
    } while (options.continuation);
    for (int n = 0; n < 200; ++n) put("key" + std::to_string(n), "other");
    EXPECT_EQ(value, std::string(50, 'v'));
    std::size_t rows = 0;
    for (const StorePage& page : pages) {
        for (const StoreRow& row : page.rows) {
            EXPECT_TRUE(row.key.starts_with("key"));
            EXPECT_EQ(row.value, std::string(50, 'v'));
            ++rows;
        }
    }
    EXPECT_EQ(rows, 200u);
}

/// A page of large values is full before its limit.
TEST_F(EmbeddedStoreTest, APageHasAboutAMebibyte) {
    const std::string value(300_KiB, 'v');
    for (const char* key : {"a", "b", "c", "d", "e", "f"}) put(key, value);
    const auto transaction = begin();
    const StorePage page = transaction->range(everything(), {.limit = 6}).value();
    EXPECT_EQ(page.rows.size(), 4u);
    EXPECT_EQ(page.continuation, "d");
}

// ---- the portable limits ------------------------------------------------------------------------

/// All kinds of failure happen, and the same ones with the same seed.
TEST(PortableStoreTest, FailsByItsSeed) {
    const auto failures = [](std::uint64_t seed) {
        const auto store = open("portable:?budget=64MiB&seed=" + std::to_string(seed));
        std::string codes;
        for (int n = 0; n < 400; ++n) {
            const auto transaction = store->begin().value();
            const Result<std::optional<Bytes>> found = transaction->get("a");
            codes += found.ok() ? "" : "read ";
            const bool large = n % 20 == 0;
            for (int row = 0; row < (large ? 600 : 1); ++row) {
                static_cast<void>(transaction->put("k" + std::to_string(row), "v").ok());
            }
            const Result<Version> done = transaction->commit();
            codes += done.ok() ? "." : to_string(done.error().code());
        }
        return codes;
    };
    const std::string first = failures(1);
    for (const ErrorCode code :
         {ErrorCode::kConflict, ErrorCode::kTooOld, ErrorCode::kLimit, ErrorCode::kUnknownResult}) {
        EXPECT_NE(first.find(to_string(code)), std::string::npos) << to_string(code);
    }
    EXPECT_NE(first.find("read"), std::string::npos);
    EXPECT_EQ(first, failures(1));
    EXPECT_NE(first, failures(2));
}

/// Some of the commits with an unknown result took place, some did not, some came later.
TEST(PortableStoreTest, HalfOfTheUnknownResultsAreCommits) {
    const auto store = open("portable:?budget=64MiB&seed=3&one_in=2");
    int unknown = 0, at_once = 0, at_last = 0;
    const auto is_there = [&](const std::string& key) {
        bool there = false;
        const Result<Version> done = store->run([&](StoreTransaction& all) -> Result<void> {
            Result<std::optional<Bytes>> found = all.get(key);
            if (!found) return found.error();
            there = found->has_value();
            return {};
        });
        EXPECT_TRUE(done.ok());
        return there;
    };
    std::vector<std::string> keys;
    for (int n = 0; n < 400; ++n) {
        const auto transaction = store->begin().value();
        const std::string key = "k" + std::to_string(n);
        ASSERT_TRUE(transaction->put(key, "v").ok());
        const Result<Version> done = transaction->commit();
        if (done || done.error().code() != ErrorCode::kUnknownResult) continue;
        ++unknown;
        at_once += is_there(key);
        keys.push_back(key);
    }
    for (const std::string& key : keys) at_last += is_there(key);
    EXPECT_GT(unknown, 50);
    EXPECT_GT(at_once, unknown * 4 / 10);
    EXPECT_GT(at_last, at_once);
    EXPECT_LT(at_last, unknown * 9 / 10);
}

TEST(PortableStoreTest, HoldsThePortableLimits) {
    const auto store = open("portable:?budget=64MiB");
    const StoreCapabilities& limits = store->capabilities();
    EXPECT_EQ(limits.key_bytes_max, 2_KiB);
    EXPECT_EQ(limits.value_bytes_max, 64_KiB);
    EXPECT_EQ(limits.transaction_bytes_max, 1_MiB);
    EXPECT_EQ(limits.mutations_max, 1'000u);
    EXPECT_EQ(limits.age_ms_max, 5'000u);
    EXPECT_TRUE(limits.unknown_results);
    EXPECT_FALSE(limits.watch);
}

TEST(PortableStoreTest, UsesMarksAgainAndErasesThem) {
    Options options;
    options.memory_budget = 64_MiB;
    Database database = Database::in_memory(options).value();
    const auto store = make_portable(Store::over(database).value(), {.seed = 1, .one_in = 3});
    for (int n = 0; n < 50; ++n) {
        ASSERT_TRUE(store->run([](StoreTransaction& one) { return one.put("a", "1"); }).ok());
    }
    const auto marks = database.find_keyspace("default.marks").value();
    ASSERT_TRUE(marks.has_value());
    EXPECT_EQ(marks->count().value(), 1u);  // One run at a time.
    ASSERT_TRUE(store->close().ok());
    EXPECT_EQ(marks->count().value(), 0u);
}

// ---- URLs ---------------------------------------------------------------------------------------

TEST(StoreUrlTest, OpensAndFindsAgain) {
    const TempDirectory directory;
    const std::string url = "fulgur:" + directory.path() + "/with%20a%3Fname?budget=16MiB";
    for (const bool first : {true, false}) {
        const auto store = open(url + (first ? "" : "&create=false"));
        ASSERT_NE(store, nullptr);
        EXPECT_STREQ(store->capabilities().driver, "fulgur");
        EXPECT_EQ(store->capabilities().transaction_bytes_max, 4_MiB);
        const auto transaction = store->begin().value();
        EXPECT_EQ(transaction->get("a").value().has_value(), !first);
        ASSERT_TRUE(transaction->put("a", "1").ok());
        ASSERT_TRUE(transaction->commit().ok());
        ASSERT_TRUE(store->close().ok());
    }
    Database database = Database::open(directory / "with a?name").value();
    EXPECT_EQ(database.keyspace("default").value().get("a").value(), "1");
}

TEST(StoreUrlTest, RefusesWhatItDoesNotUnderstand) {
    const TempDirectory directory;
    for (const std::string url : {"",
                                  "fulgur",
                                  "redis:x",
                                  "fulgur:",
                                  "fulgur://host/path",
                                  "fulgur:DIR/x?budget=much",
                                  "fulgur:DIR/x?budget=5MB",
                                  "fulgur:DIR/x?budget=99999999999GiB",
                                  "fulgur:DIR/x?create=no",
                                  "fulgur:DIR/x?durability=yes",
                                  "fulgur:DIR/x?seed=1",
                                  "fulgur:DIR/x?budget",
                                  "fulgur:DIR/x?budget=8MiB&budget=8MiB",
                                  "fulgur:DIR/%x",
                                  "fulgur:DIR/%4",
                                  "fulgur:DIR/absent?create=false",
                                  "portable:?seed=one",
                                  "portable:?one_in=-1",
                                  "portable:?one_in=99999999999",
                                  "portable:?speed=1"}) {
        std::string text = url;
        replace(text, "DIR", directory.path());
        const Result<std::unique_ptr<Store>> opened = Store::open(text);
        ASSERT_FALSE(opened.ok()) << url;
        EXPECT_EQ(opened.error().code(), ErrorCode::kInvalid) << url;
    }
}

TEST(StoreUrlTest, ReadsPathsAndOptions) {
    Url url = Url::parse("fulgur:///a/b%2fc?x=1%26&size=3KiB&flag=true&n=7").value();
    EXPECT_EQ(url.scheme, "fulgur");
    EXPECT_EQ(url.path, "/a/b/c");
    EXPECT_EQ(url.take("x"), "1&");
    EXPECT_EQ(url.take_size("size").value(), 3_KiB);
    EXPECT_EQ(url.take_bool("flag").value(), true);
    EXPECT_EQ(url.take_number("absent").value(), std::nullopt);
    EXPECT_FALSE(url.check_all_taken().ok());
    EXPECT_EQ(url.take_number("n").value(), 7u);
    EXPECT_TRUE(url.check_all_taken().ok());
    EXPECT_EQ(Url::parse("fulgur:data/db").value().path, "data/db");
}

}  // namespace
}  // namespace fulgur::store
