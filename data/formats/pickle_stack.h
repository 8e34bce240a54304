// The memory of the machine that runs a pickle: the values that it makes, its stack with marks, and its memo.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "data/formats/pickle.h"
#include "data/formats/pickle_program.h"

namespace terrace {

/// A checkpoint of the largest VAR with its optimizer has some 100,000 values. The limit bounds the memory that a
/// hostile program can ask for.
inline constexpr size_t kMaxPickleValues = 4 << 20;

/// Taking from an empty stack, recalling what was never remembered and more values than the limit are errors of the
/// program (PickleProgram::fail).
class PickleStack {
 public:
  using Kind = PickleValue::Kind;
  explicit PickleStack(const PickleProgram& program) : program_(program) {}

  /// A new value, which is not on the stack.
  PickleValue& make(Kind kind);
  /// All that were made.
  std::deque<PickleValue> take_values() { return std::move(values_); }

  void push(PickleValue& value) { stack_.push_back(&value); }
  void push_bool(bool value);
  void push_int(int64_t value);
  void push_text(Kind kind, std::string_view text);
  void push_items(Kind kind, std::vector<PickleValue*> items);
  /// A tuple of the last `count` values, which leave the stack.
  void push_tuple(size_t count);
  PickleValue* pop();
  /// The last value, which stays; `what` names the kind that it must be of.
  PickleValue& top(Kind kind, const char* what) const;

  void mark() { marks_.push_back(stack_.size()); }
  /// What was pushed since the last mark, which goes with it.
  std::vector<PickleValue*> pop_mark();

  /// Adds items to a list, or keys and values to a dictionary.
  void append(PickleValue& target, const std::vector<PickleValue*>& items) const;

  /// The last value into the memo; it stays on the stack.
  void remember(uint32_t index);
  void remember_next() { remember(static_cast<uint32_t>(memo_.size())); }
  void recall(uint32_t index);

 private:
  /// Throws where nothing lies above the last mark.
  void check_not_empty() const;

  const PickleProgram& program_;
  std::deque<PickleValue> values_;
  std::vector<PickleValue*> stack_;
  std::vector<size_t> marks_;  // heights of the stack
  std::unordered_map<uint32_t, PickleValue*> memo_;
};

}  // namespace terrace
