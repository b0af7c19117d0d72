#include "terse/chat/template_heap.h"

#include "terse/core/error.h"

namespace terse::chat {

void Heap::work(std::uint64_t steps) {
  if (steps > limits_.steps - spent_) {
    throw bad_input("the template takes more than {} steps; it may never end", limits_.steps);
  }
  spent_ += steps;
}

void Heap::check_room(std::uint64_t bytes) const {
  if (bytes > limits_.bytes - held_) {
    throw bad_input("the template's texts and lists take more than {} bytes", limits_.bytes);
  }
}

void Heap::take(std::uint64_t bytes) {
  check_room(bytes);
  held_ += bytes;
}

void BoundedText::append(std::uint64_t count, char character) {
  allocation_.grow(count);
  heap_.work(1 + count / 64);
  text_.append(count, character);
}

}  // namespace terse::chat
