#pragma once

namespace fulgur::db {

class Engine;

/// While one lives, its thread tells the user of progress and holds the engine's checkpoint mutex:
/// what would wait for a checkpoint from within that callback would wait for itself.
class ProgressScope {
public:
    explicit ProgressScope(const Engine& engine) : engine_(&engine), outer_(innermost_) {
        innermost_ = this;
    }
    ~ProgressScope() { innermost_ = outer_; }
    ProgressScope(const ProgressScope&) = delete;
    ProgressScope& operator=(const ProgressScope&) = delete;

    static bool inside(const Engine& engine) {
        const ProgressScope* scope = innermost_;
        while (scope != nullptr && scope->engine_ != &engine) scope = scope->outer_;
        return scope != nullptr;
    }

private:
    static inline thread_local const ProgressScope* innermost_ = nullptr;
    const Engine* const engine_;
    const ProgressScope* const outer_;
};

}  // namespace fulgur::db
