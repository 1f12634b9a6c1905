#pragma once

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "os/name_tree.h"
#include "os/random.h"
#include "os/sim_file.h"

namespace fulgur::os {

/// The directories of the simulated file system: the names that programs see, those that are
/// durable, and the changes between the two. Not thread-safe: the file system's mutex guards it.
class SimNames {
public:
    using Tree = NameTree<SimFile>;
    using Node = std::shared_ptr<SimFile>;

    const Tree& live() const { return live_; }

    Result<void> create(const std::string& path, Node node);
    Result<void> make_directory(const std::string& path);
    Result<void> remove(const std::string& path);
    Result<void> rename(const std::string& from, const std::string& to);
    Result<void> sync(const std::string& path);

    /// The names and files after a power cut.
    SimNames after_power_cut(Random& random) const;
    /// The same names for copies of the files, unsynced as they are.
    SimNames copy() const;

private:
    struct Assignment {
        std::string path;
        bool present;
        Node node;  ///< Null: a directory.
    };
    using Change = std::vector<Assignment>;  ///< Atomic.

    static void apply(const Change& change, Tree::Entries& entries);

    Tree live_;
    Tree::Entries durable_;
    std::vector<Change> pending_;  ///< In order.
};

}  // namespace fulgur::os
