#include "data/formats/pickle_stack.h"

namespace terrace {

PickleValue& PickleStack::make(Kind kind) {
  if (values_.size() == kMaxPickleValues) { program_.fail(cat("more than ", kMaxPickleValues, " values")); }
  values_.emplace_back().kind = kind;
  return values_.back();
}

void PickleStack::push_bool(bool value) {
  PickleValue& v = make(Kind::kBool);
  v.integer = value ? 1 : 0;
  push(v);
}

void PickleStack::push_int(int64_t value) {
  PickleValue& v = make(Kind::kInt);
  v.integer = value;
  push(v);
}

void PickleStack::push_text(Kind kind, std::string_view text) {
  PickleValue& v = make(kind);
  v.text = text;
  push(v);
}

void PickleStack::push_items(Kind kind, std::vector<PickleValue*> items) {
  PickleValue& v = make(kind);
  v.items = std::move(items);
  push(v);
}

void PickleStack::push_tuple(size_t count) {
  std::vector<PickleValue*> items(count);
  while (count > 0) { items[--count] = pop(); }
  push_items(Kind::kTuple, std::move(items));
}

void PickleStack::check_not_empty() const {
  const size_t floor = marks_.empty() ? 0 : marks_.back();
  if (stack_.size() <= floor) { program_.fail(cat("the stack is empty at byte ", program_.position())); }
}

PickleValue* PickleStack::pop() {
  check_not_empty();
  PickleValue* value = stack_.back();
  stack_.pop_back();
  return value;
}

PickleValue& PickleStack::top(Kind kind, const char* what) const {
  check_not_empty();
  if (stack_.back()->kind != kind) { program_.fail(cat("expected ", what, " at byte ", program_.position())); }
  return *stack_.back();
}

std::vector<PickleValue*> PickleStack::pop_mark() {
  if (marks_.empty()) { program_.fail(cat("no mark at byte ", program_.position())); }
  const auto first = stack_.begin() + static_cast<std::ptrdiff_t>(marks_.back());
  std::vector<PickleValue*> items(first, stack_.end());
  stack_.erase(first, stack_.end());
  marks_.pop_back();
  return items;
}

void PickleStack::append(PickleValue& target, const std::vector<PickleValue*>& items) const {
  if (target.kind == Kind::kDict && items.size() % 2 != 0) {
    program_.fail(cat("a key without a value at byte ", program_.position()));
  }
  target.items.insert(target.items.end(), items.begin(), items.end());
}

void PickleStack::remember(uint32_t index) {
  PickleValue* value = pop();
  push(*value);
  if (memo_.size() == kMaxPickleValues) {
    program_.fail(cat("more than ", kMaxPickleValues, " values are remembered"));
  }
  memo_[index] = value;
}

void PickleStack::recall(uint32_t index) {
  const auto found = memo_.find(index);
  if (found == memo_.end()) { program_.fail(cat("value ", index, " was never remembered")); }
  push(*found->second);
}

}  // namespace terrace
