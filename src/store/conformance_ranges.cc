// Checks of the conformance suite: pages of ranges, and keys of any bytes.
#include <algorithm>
#include <array>
#include <string>
#include <vector>

#include "store/trial.h"

namespace fulgur::store {

namespace {

/// "k000003=3 k000004=4 ...", forward or backward.
std::string rows_between(std::uint64_t begin, std::uint64_t end, bool reverse = false) {
    std::string text;
    for (std::uint64_t i = begin; i < end; ++i) {
        const std::uint64_t n = reverse ? begin + (end - 1 - i) : i;
        if (!text.empty()) text += ' ';
        text += numbered("k", n) + "=" + std::to_string(n);
    }
    return text;
}

}  // namespace

void pages_both_ways(Trial& trial) {
    constexpr std::uint64_t kRows = 30;
    for (const std::size_t limit : {0, 1, 3, 7, 29, 30, 31}) {
        for (const bool reverse : {false, true}) {
            const std::string what =
                "pages of " + std::to_string(limit) + (reverse ? " backward" : " forward");
            trial.play([&](Scene& scene) {
                scene.given(rows_between(0, kRows));
                Actor actor = scene.begin();
                scene.expect_equal(actor.walk("", "", limit, reverse),
                                   rows_between(0, kRows, reverse), what);
                scene.expect_equal(actor.walk(numbered("k", 4), numbered("k", 17), limit, reverse),
                                   rows_between(4, 17, reverse), what + " from 4 to 17");
                // Bounds between rows.
                scene.expect_equal(
                    actor.walk(numbered("k", 4) + "x", numbered("k", 6) + "x", limit, reverse),
                    rows_between(5, 7, reverse), what + " between rows");
                scene.expect_equal(actor.walk(numbered("k", 9), numbered("k", 9), limit, reverse),
                                   "", what + " of nothing");
                scene.expect_equal(actor.walk(numbered("k", 9), numbered("k", 5), limit, reverse),
                                   "", what + " of less than nothing");
            });
        }
    }
}

/// Others write between two pages, the row that the first one ended with included.
void goes_on_behind_the_last_row(Trial& trial) {
    for (const bool reverse : {false, true}) {
        trial.play([&](Scene& scene) {
            scene.given("b=1 d=1 f=1 h=1");
            Actor first = scene.begin();
            StorePage page = first.page("", "", {.limit = 2, .reverse = reverse});
            if (page.rows.size() != 2) {  // A page may be short: then this is about a longer one.
                if (!page.continuation) scene.fail("a short page without a continuation");
                return scene.stop(Error(ErrorCode::kConflict, "a short page"), "range");
            }
            scene.expect_equal(first.names_of(page.rows), reverse ? "h=1 f=1" : "b=1 d=1",
                               "the first page");
            Actor writer = scene.begin();
            writer.erase(reverse ? "f" : "d");
            for (const char* key : {"a", "e", "i"}) writer.put(key, "2");
            writer.commit();
            Actor second = scene.begin();
            std::string rest;
            RangeOptions options{.reverse = reverse, .continuation = page.continuation};
            while (options.continuation && !scene.over()) {
                page = second.page("", "", options);
                rest += (rest.empty() || page.rows.empty() ? "" : " ") + second.names_of(page.rows);
                options.continuation = page.continuation;
            }
            scene.expect_equal(rest, reverse ? "e=2 d=1 b=1 a=2" : "e=2 f=1 h=1 i=2",
                               "the pages behind it");
            // A continuation does not lead out of the range it is used with.
            options.continuation = scene.key(reverse ? "x" : "0");
            scene.expect_equal(second.names_of(second.page("e", "g", options).rows).substr(0, 3),
                               "e=2", "a continuation from outside");
        });
    }
}

void pages_with_its_own_writes(Trial& trial) {
    trial.play([](Scene& scene) {
        scene.given("b=1 d=1 f=1 h=1");
        Actor actor = scene.begin();
        actor.put("a", "2");
        actor.put("d", "2");
        actor.erase("f");
        actor.put("i", "2");
        for (const std::size_t limit : {1, 2, 3}) {
            scene.expect_equal(actor.walk("", "", limit), "a=2 b=1 d=2 h=1 i=2", "forward");
            scene.expect_equal(actor.walk("", "", limit, true), "i=2 h=1 d=2 b=1 a=2", "backward");
        }
        // Written while the pages are walked, before where they go on.
        std::string seen;
        RangeOptions options{.limit = 2};
        do {
            const StorePage page = actor.page("a", "", options);
            for (const StoreRow& row : page.rows) {
                const std::string name(row.key.substr(scene.prefix().size()));
                seen += name;
                actor.erase(name);
                actor.put("+" + name, "3");
            }
            options.continuation = page.continuation;
        } while (options.continuation && !scene.over());
        scene.expect_equal(seen, "abdhi", "rows seen while writing");
        actor.commit();
        scene.then("+a=3 +b=3 +d=3 +h=3 +i=3", "what was written while walking");
    });
}

void erases_ranges(Trial& trial) {
    trial.play([](Scene& scene) {
        scene.given("a=1 b=1 c=1 d=1 e=1");
        Actor actor = scene.begin();
        actor.put("bb", "2");
        actor.erase_range("b", "d");
        scene.expect_equal(actor.walk("", ""), "a=1 d=1 e=1", "erased, own rows too");
        scene.expect_equal(actor.get("b") + actor.get("bb"), "--", "get of erased rows");
        actor.put("c", "3");
        actor.erase_range("x", "b");
        actor.commit();
        scene.then("a=1 c=3 d=1 e=1", "committed");
        Actor all = scene.begin();
        all.erase_range("", "");
        all.commit();
        scene.then("", "erased to the end");
    });
}

void gets_many(Trial& trial) {
    trial.play([](Scene& scene) {
        scene.given("a=1 b=1 c=1");
        Result<std::unique_ptr<StoreTransaction>> begun = scene.trial().store().begin();
        if (!begun) return scene.stop(begun.error(), "begin");
        StoreTransaction& transaction = **begun;
        if (const Result<void> put = transaction.put(scene.key("b"), "2"); !put) {
            return scene.stop(put.error(), "put");
        }
        if (const Result<void> erased = transaction.erase(scene.key("c")); !erased) {
            return scene.stop(erased.error(), "erase");
        }
        const std::array<std::string, 5> names = {scene.key("b"), scene.key("x"), scene.key("a"),
                                                  scene.key("c"), scene.key("a")};
        std::vector<Bytes> keys(names.begin(), names.end());
        std::vector<std::optional<Bytes>> values(keys.size());
        if (const Result<void> got = transaction.get_many(keys, values); !got) {
            return scene.stop(got.error(), "get_many");
        }
        std::string seen;
        for (const std::optional<Bytes>& value : values) seen += value.value_or("-");
        scene.expect_equal(seen, "2-1-1", "get_many");
        const Result<void> none = transaction.get_many({}, {});
        if (!none) scene.stop(none.error(), "get_many of nothing");
        values.resize(1);
        const Result<void> few = transaction.get_many(keys, values);
        if (few || few.error().code() != ErrorCode::kInvalid) {
            scene.fail("get_many into too few values is not kInvalid");
        }
        // It counts as read.
        Actor other = scene.begin();
        other.put("x", "3");
        other.commit();
        if (scene.over()) return;
        const Result<Version> done = transaction.commit();
        if (done) return scene.fail("get_many of an absent key did not count as read");
        if (done.error().code() != ErrorCode::kConflict) scene.stop(done.error(), "commit");
    });
}

void takes_any_bytes(Trial& trial) {
    std::vector<std::string> names = {"",
                                      std::string(1, '\0'),
                                      std::string(2, '\0'),
                                      std::string("a\0b", 3),
                                      "a",
                                      "a\x01",
                                      "ab",
                                      "\x7f",
                                      "\x80",
                                      "\xc3\xa9t\xc3\xa9",
                                      "\xe6\x97\xa5\xe6\x9c\xac",
                                      "\xf0\x9f\x94\xa5",
                                      "\xff",
                                      "\xff\xff",
                                      "%_'\"\\;--/*",
                                      std::string(300, 'x'),
                                      std::string(300, '\xff')};
    std::string every;
    for (int byte = 0; byte < 256; ++byte) every.push_back(static_cast<char>(byte));
    names.push_back(every);
    trial.play([&](Scene& scene) {
        Actor writer = scene.begin();
        for (const std::string& name : names) writer.put(name, name);  // An empty value, too.
        writer.commit();
        std::vector<std::string> sorted = names;
        std::sort(sorted.begin(), sorted.end());
        Actor reader = scene.begin();
        for (const std::string& name : sorted) {
            scene.expect_equal(reader.get(name), name, "a value of any bytes");
        }
        for (const bool reverse : {false, true}) {
            std::vector<std::string> seen;
            RangeOptions options{.limit = 2, .reverse = reverse};
            do {
                const StorePage page = reader.page("", "", options);
                for (const StoreRow& row : page.rows) {
                    seen.emplace_back(row.key.substr(scene.prefix().size()));
                    scene.expect_equal(std::string(row.value), seen.back(), "a row of any bytes");
                }
                options.continuation = page.continuation;
            } while (options.continuation && !scene.over());
            if (reverse) std::reverse(seen.begin(), seen.end());
            if (seen != sorted) scene.fail("rows are not in the order of unsigned bytes");
        }
    });
}

/// The one key that cannot have a prefix. Left alone where it is somebody's.
void takes_the_empty_key(Trial& trial) {
    bool ours = false;
    trial.run([&](StoreTransaction& transaction) -> Result<void> {
        Result<std::optional<Bytes>> found = transaction.get("");
        if (!found) return found.error();
        ours = !*found;
        return ours ? transaction.put("", "empty") : Result<void>();
    });
    if (!ours) return;
    std::string value, first, last_key = "none";
    trial.run([&](StoreTransaction& transaction) -> Result<void> {
        Result<std::optional<Bytes>> found = transaction.get("");
        if (!found) return found.error();
        value = found->value_or("-");
        Result<StorePage> page = transaction.range(everything(), {.limit = 1});
        if (!page) return page.error();
        first = page->rows.empty() ? "-" : std::string(page->rows[0].key);
        // It is the last one going backward.
        page = transaction.range(between("", std::string(1, '\0')), {.limit = 1, .reverse = true});
        if (!page) return page.error();
        last_key = page->rows.empty() ? "none" : std::string(page->rows[0].key);
        if (!page->continuation) return {};
        page = transaction.range(between("", std::string(1, '\0')),
                                 {.reverse = true, .continuation = page->continuation});
        if (!page) return page.error();
        if (!page->rows.empty()) last_key = "the empty key twice";
        return {};
    });
    trial.expect_equal(value, "empty", "the empty key's value");
    trial.expect_equal(first, "", "the first key");
    trial.expect_equal(last_key, "", "the last key backward");
    trial.run([](StoreTransaction& transaction) { return transaction.erase(""); });
}

}  // namespace fulgur::store
