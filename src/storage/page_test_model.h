#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <memory>
#include <new>
#include <optional>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "base/hash.h"
#include "os/random.h"
#include "storage/leaf.h"
#include "storage/tree_node.h"

// What the tests of pages share: frames, keys that are hard on pages, and a model of what was
// written.

namespace fulgur::storage {

/// Memory of exactly one page, so that the address sanitizer sees what goes beyond it.
class TestFrame {
public:
    explicit TestFrame(std::size_t size)
        : bytes_(static_cast<char*>(::operator new (size, std::align_val_t{64}))), size_(size) {
        std::fill_n(bytes_.get(), size, '\xDB');
    }
    char* data() const { return bytes_.get(); }
    std::size_t size() const { return size_; }

private:
    struct Free {
        void operator()(char* bytes) const { ::operator delete (bytes, std::align_val_t{64}); }
    };
    std::unique_ptr<char, Free> bytes_;
    std::size_t size_;
};

struct TestVersion {
    std::string value;
    std::uint8_t flags = 0;
    std::uint64_t expiry = 0;

    bool tombstone() const { return (flags & kTombstone) != 0; }
    friend bool operator==(const TestVersion&, const TestVersion&) = default;
};

/// Key -> sequence -> version.
struct History : std::map<std::string, std::map<std::uint64_t, TestVersion>> {
    /// What a reader at `snapshot` finds, tombstones included.
    const TestVersion* at(const std::string& key, std::uint64_t snapshot) const {
        const auto versions = find(key);
        if (versions == end()) return nullptr;
        const auto after = versions->second.upper_bound(snapshot);
        return after == versions->second.begin() ? nullptr : &std::prev(after)->second;
    }
    /// The same without tombstones.
    const TestVersion* visible(const std::string& key, std::uint64_t snapshot) const {
        const TestVersion* version = at(key, snapshot);
        return version == nullptr || version->tombstone() ? nullptr : version;
    }
};

inline std::uint8_t print_of_key(Bytes key) { return print_of(hash64(key)); }

inline RecordParts parts_of(const Leaf& leaf, Bytes key, std::uint64_t sequence,
                            const TestVersion& version) {
    return {key.substr(leaf.prefix_size),
            version.value,
            Sequence{sequence},
            version.expiry,
            version.flags,
            print_of_key(key)};
}

inline TestVersion version_of(const Record& record) {
    return {std::string(record.value()), record.flags(), record.expiry()};
}

inline std::string key_of(const Leaf& leaf, const Record& record) {
    return std::string(leaf.prefix()) + std::string(record.suffix());
}

inline std::optional<TestVersion> find_in(const Leaf& leaf, Bytes key, std::uint64_t snapshot) {
    const auto record =
        leaf.find(key.substr(leaf.prefix_size), print_of_key(key), Sequence{snapshot});
    if (!record) return std::nullopt;
    EXPECT_TRUE(key_of(leaf, *record) == key);  // EXPECT_EQ would print 64 KiB.
    EXPECT_LE(to_number(record->sequence()), snapshot);
    return version_of(*record);
}

inline std::string large_reference(std::uint64_t length, std::uint64_t sector,
                                   std::uint64_t memory = 0) {
    const LargeReference reference{length, length * 31, sector, memory};
    std::string bytes(sizeof(reference), '\0');
    std::memcpy(bytes.data(), &reference, sizeof(reference));
    return bytes;
}

/// Keys of one style, chosen by the seed.
class TestKeys {
public:
    explicit TestKeys(os::Random& random)
        : random_(random), style_(random.below(4)), shared_(random.below(40), 'p') {}

    std::string next() {
        switch (style_) {
            case 0: {  // Few different bytes, zeros among them: ties and prefixes of one another.
                static constexpr char kBytes[] = {'\0', '\1', 'a', '\xff'};
                std::string key(random_.below(11), '\0');
                for (char& byte : key) byte = kBytes[random_.below(4)];
                return key;
            }
            case 1: {  // Numbers behind a prefix.
                std::string digits = std::to_string(random_.below(2000));
                digits.insert(0, 4 - digits.size(), '0');
                return shared_ + digits;
            }
            case 2: {  // Any bytes of any length, rarely a very long one.
                const std::size_t length = random_.one_in(200)  ? 65535 - random_.below(3)
                                           : random_.one_in(30) ? random_.below(2000)
                                                                : random_.below(24);
                std::string key(length, '\0');
                for (std::size_t i = 0; i < length; i += 8) {
                    const std::uint64_t word = random_.next();
                    std::memcpy(key.data() + i, &word, std::min<std::size_t>(8, length - i));
                }
                return key;
            }
            default: {  // Binary numbers.
                std::string key(8, '\0');
                const std::uint64_t number = random_.below(100'000);
                for (std::size_t i = 0; i < 8; ++i) {
                    key[i] = static_cast<char>(number >> (56 - 8 * i));
                }
                return key;
            }
        }
    }

private:
    os::Random& random_;
    std::uint64_t style_;
    std::string shared_;
};

inline TestVersion random_version(os::Random& random, std::size_t value_bytes_max) {
    TestVersion version;
    if (random.one_in(5)) {
        version.flags = kTombstone;
        return version;
    }
    if (random.one_in(10)) {
        version.flags = kLarge;
        version.value = large_reference(1 + random.below(1 << 20), 16 + random.below(1 << 20));
    } else {
        version.value.assign(random.below(value_bytes_max + 1),
                             static_cast<char>(random.below(256)));
    }
    if (random.one_in(4)) {
        version.flags |= kExpires;
        version.expiry = random.next();
    }
    return version;
}

/// A leaf with a random history.
struct TestLeaf {
    TestFrame frame;
    Leaf* leaf;
    History history;
    std::uint64_t last = 0;  ///< greatest sequence used
    std::vector<std::string> keys;

    explicit TestLeaf(std::size_t size = 16_KiB, std::size_t capacity = 512, Bytes low = {},
                      Bytes high = {}, bool has_high = false)
        : frame(size), leaf(Leaf::format(frame.data(), size, capacity, low, high, has_high)) {}

    bool append(const std::string& key, std::uint64_t sequence, const TestVersion& version) {
        if (!leaf->covers(key) || history[key].contains(sequence)) return true;
        const RecordParts parts = parts_of(*leaf, key, sequence, version);
        if (!leaf->has_room(parts.size())) return false;
        leaf->append(parts);
        history[key].emplace(sequence, version);
        last = std::max(last, sequence);
        return true;
    }

    /// Fills the leaf with versions of at most `distinct` keys until one does not fit.
    void fill(os::Random& random, std::size_t distinct, bool in_order,
              std::size_t value_bytes_max = 60) {
        TestKeys source(random);
        for (std::size_t i = 0; i < distinct; ++i) {
            std::string key = source.next();
            if (leaf->covers(key)) keys.push_back(std::move(key));
        }
        if (keys.empty()) keys.emplace_back(leaf->low());
        for (int i = 0; i < 2000; ++i) {
            const std::string& key = keys[random.below(keys.size())];
            const std::uint64_t sequence =
                in_order ? last + 1 + random.below(3) : 1 + random.below(300);
            if (!append(key, sequence, random_version(random, value_bytes_max))) break;
        }
    }
};

}  // namespace fulgur::storage
