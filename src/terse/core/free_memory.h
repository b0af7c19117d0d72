// Giving freed memory back to the system.
#pragma once

namespace terse {

/// Gives the pages of the heap that hold nothing back to the system, if they are many. Between
/// large steps of work that outlive one another: otherwise what is small and stays keeps pages of
/// what was large, and a process grows with the number of steps.
void release_free_memory();

}  // namespace terse
