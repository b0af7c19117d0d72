// What reading from memory can be held against.
#pragma once

namespace terse {

/// Bytes per second that all threads together read from memory: the best of a few passes over a
/// buffer many times larger than caches are.
double memory_bandwidth();

}  // namespace terse
