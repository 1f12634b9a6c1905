#include "os/sim_names.h"

#include <cerrno>
#include <set>

namespace fulgur::os {

Result<void> SimNames::create(const std::string& path, Node node) {
    Result<void> done = live_.create(path, node);
    if (done) pending_.push_back({{normalized_path(path), true, std::move(node)}});
    return done;
}

Result<void> SimNames::make_directory(const std::string& path) {
    if (live_.is_directory(path)) return {};
    Result<void> done = live_.make_directory(path);
    if (done) pending_.push_back({{normalized_path(path), true, nullptr}});
    return done;
}

Result<void> SimNames::remove(const std::string& path) {
    Result<void> done = live_.remove(path);
    if (done) pending_.push_back({{normalized_path(path), false, nullptr}});
    return done;
}

Result<void> SimNames::rename(const std::string& from, const std::string& to) {
    Result<Node> node = live_.find(from, FileOperation::kRename);
    if (!node) return node.error();
    Result<void> done = live_.rename(from, to);
    if (done) {
        pending_.push_back({{normalized_path(from), false, nullptr},
                            {normalized_path(to), true, *std::move(node)}});
    }
    return done;
}

Result<void> SimNames::sync(const std::string& path) {
    if (!live_.is_directory(path)) {
        return file_error(live_.exists(path) ? ENOTDIR : ENOENT, FileOperation::kSyncDirectory,
                          path);
    }
    // A rename between two directories takes what is pending in the other one along: the journal
    // keeps the order of changes to one directory.
    std::set<std::string> directories{normalized_path(path)};
    const auto touched = [&](const Change& change) {
        for (const Assignment& a : change) {
            if (directories.contains(parent_path(a.path))) return true;
        }
        return false;
    };
    for (std::size_t before = 0; before != directories.size();) {
        before = directories.size();
        for (const Change& change : pending_) {
            if (!touched(change)) continue;
            for (const Assignment& a : change) directories.insert(parent_path(a.path));
        }
    }
    for (const Change& change : pending_) {
        if (touched(change)) apply(change, durable_);
    }
    std::erase_if(pending_, touched);
    return {};
}

void SimNames::apply(const Change& change, Tree::Entries& entries) {
    for (const Assignment& a : change) {
        if (a.present) {
            entries[a.path] = a.node;
        } else {
            entries.erase(a.path);
        }
    }
}

SimNames SimNames::after_power_cut(Random& random) const {
    Tree::Entries entries = durable_;
    const bool in_order = random.one_in(2);
    const std::size_t first = random.below(pending_.size() + 1);
    std::set<std::string> lost;  // Names of lost changes: what changes them again is lost too.
    for (std::size_t i = 0; i < pending_.size(); ++i) {
        bool lasts = in_order ? i < first : random.one_in(2);
        for (const Assignment& a : pending_[i]) lasts = lasts && !lost.contains(a.path);
        if (lasts) {
            apply(pending_[i], entries);
        } else {
            for (const Assignment& a : pending_[i]) lost.insert(a.path);
        }
    }
    SimNames after;
    for (const auto& [path, node] : entries) {  // Sorted: a directory comes before what is in it.
        if (!after.live_.is_directory(parent_path(path))) continue;
        Node file;
        if (node != nullptr) file = std::make_shared<SimFile>(node->after_power_cut(random));
        after.live_.set(path, std::move(file));
    }
    after.durable_ = after.live_.entries();
    return after;
}

SimNames SimNames::copy() const {
    std::map<const SimFile*, Node> copies{{nullptr, nullptr}};
    const auto copy_of = [&](const Node& node) {
        Node& copy = copies[node.get()];
        if (copy == nullptr && node != nullptr) copy = std::make_shared<SimFile>(*node);
        return copy;
    };
    SimNames other;
    for (const auto& [path, node] : live_.entries()) other.live_.set(path, copy_of(node));
    for (const auto& [path, node] : durable_) other.durable_[path] = copy_of(node);
    other.pending_ = pending_;
    for (Change& change : other.pending_) {
        for (Assignment& a : change) a.node = copy_of(a.node);
    }
    return other;
}

}  // namespace fulgur::os
