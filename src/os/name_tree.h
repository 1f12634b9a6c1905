#pragma once

#include <cerrno>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "os/file_error.h"

namespace fulgur::os {

/// "a//b/./c/" as "a/b/c". A leading slash goes too: an absolute path and the same one without it
/// are one file. The root, and the current directory, are "".
std::string normalized_path(const std::string& path);
/// Of a normalized path: all before the last slash; "" for a name without one.
std::string parent_path(const std::string& path);

/// The directories of a file system that lives in memory: names, and a node for each file. Errors
/// are those of the real one. Paths given are any, those in `entries` normalized.
///
/// Not thread-safe: the file system's mutex guards it.
template <typename Node>
class NameTree {
public:
    /// A null node is a directory. The root has no entry.
    using Entries = std::map<std::string, std::shared_ptr<Node>>;

    const Entries& entries() const { return entries_; }
    /// Only for names whose parents are there.
    void set(const std::string& path, std::shared_ptr<Node> node) {
        entries_[path] = std::move(node);
    }

    bool exists(const std::string& any) const {
        const std::string path = normalized_path(any);
        return path.empty() || entries_.contains(path);
    }

    bool is_directory(const std::string& any) const {
        const std::string path = normalized_path(any);
        if (path.empty()) return true;
        const auto entry = entries_.find(path);
        return entry != entries_.end() && entry->second == nullptr;
    }

    /// The file at a path.
    Result<std::shared_ptr<Node>> find(const std::string& any, FileOperation operation) const {
        if (is_directory(any)) return file_error(EISDIR, operation, any);
        const auto entry = entries_.find(normalized_path(any));
        if (entry == entries_.end()) return file_error(missing(any), operation, any);
        return entry->second;
    }

    /// Puts a new file where nothing is.
    Result<void> create(const std::string& any, std::shared_ptr<Node> node) {
        const std::string path = normalized_path(any);
        if (!is_directory(parent_path(path))) {
            return file_error(missing(any), FileOperation::kOpen, any);
        }
        entries_.emplace(path, std::move(node));
        return {};
    }

    Result<std::vector<std::string>> list(const std::string& any) const {
        constexpr FileOperation kOperation = FileOperation::kList;
        if (!exists(any)) return file_error(missing(any), kOperation, any);
        if (!is_directory(any)) return file_error(ENOTDIR, kOperation, any);
        const std::string path = normalized_path(any);
        std::vector<std::string> names;
        for (const auto& [name, node] : entries_) {
            if (parent_path(name) != path) continue;
            names.push_back(path.empty() ? name : name.substr(path.size() + 1));
        }
        return names;
    }

    Result<void> make_directory(const std::string& any) {
        constexpr FileOperation kOperation = FileOperation::kMakeDirectory;
        if (is_directory(any)) return {};
        const std::string path = normalized_path(any);
        if (entries_.contains(path)) return file_error(ENOTDIR, kOperation, any);
        if (!is_directory(parent_path(path))) return file_error(missing(any), kOperation, any);
        entries_.emplace(path, nullptr);
        return {};
    }

    Result<void> remove(const std::string& any) {
        constexpr FileOperation kOperation = FileOperation::kRemove;
        const std::string path = normalized_path(any);
        const auto entry = entries_.find(path);
        if (entry == entries_.end()) return file_error(missing(any), kOperation, any);
        if (entry->second == nullptr) {
            const Result<std::vector<std::string>> names = list(any);
            if (!names) return names.error();
            if (!names->empty()) return file_error(ENOTEMPTY, kOperation, any);
        }
        entries_.erase(entry);
        return {};
    }

    /// Of files only.
    Result<void> rename(const std::string& any_from, const std::string& any_to) {
        constexpr FileOperation kOperation = FileOperation::kRename;
        const std::string to = normalized_path(any_to);
        Result<std::shared_ptr<Node>> node = find(any_from, kOperation);
        if (!node) return node.error();
        if (is_directory(to)) return file_error(EISDIR, kOperation, any_from);
        if (!is_directory(parent_path(to))) return file_error(missing(to), kOperation, any_from);
        entries_.erase(normalized_path(any_from));
        entries_[to] = *std::move(node);
        return {};
    }

private:
    /// Why nothing is found: a file on the way, or nothing.
    int missing(const std::string& any) const {
        for (std::string path = parent_path(normalized_path(any)); !path.empty();
             path = parent_path(path)) {
            if (entries_.contains(path) && !is_directory(path)) return ENOTDIR;
        }
        return ENOENT;
    }

    Entries entries_;
};

}  // namespace fulgur::os
