#include "data/formats/pickle.h"

#include <charconv>
#include <cstring>
#include <string_view>
#include <unordered_map>

#include "tensor/base/error.h"

namespace terrace {
namespace {

using Kind = PickleValue::Kind;

// A checkpoint of the largest VAR with its optimizer has some 100,000 values. The limits bound the memory that a
// hostile program can ask for.
constexpr size_t kMostValues = 4 << 20;
constexpr size_t kMostSteps = 64 << 20;
constexpr size_t kMostIdItems = 8;

class Machine {
 public:
  Machine(std::span<const std::byte> bytes, const std::string& where) : bytes_(bytes), where_(where) {}

  Pickle run() {
    for (size_t steps = 0;; ++steps) {
      if (steps == kMostSteps) { fail(cat("more than ", kMostSteps, " steps")); }
      const size_t start = at_;
      const auto op = static_cast<char>(byte());
      if (op == '.') { break; }
      if (!constant(op) && !text(op) && !container(op) && !stack_or_memo(op) && !call(op)) {
        fail(cat("opcode ", static_cast<int>(static_cast<unsigned char>(op)), " at byte ", start, " is not known"));
      }
    }
    result_.root = pop();
    result_.end = at_;
    return std::move(result_);
  }

 private:
  [[noreturn]] void fail(const std::string& why) const { throw IoError(cat(where_, ": pickle: ", why)); }

  // --- Bytes of the program ---
  uint8_t byte() { return static_cast<uint8_t>(take(1)[0]); }
  std::string_view take(size_t count) {
    if (count > bytes_.size() - at_) { fail(cat("truncated at byte ", bytes_.size())); }
    const std::string_view part(reinterpret_cast<const char*>(bytes_.data()) + at_, count);
    at_ += count;
    return part;
  }
  template <class T>
  T number() {
    T value;
    std::memcpy(&value, take(sizeof value).data(), sizeof value);
    return value;
  }
  size_t long_length() {
    const auto length = number<uint64_t>();
    if (length > bytes_.size()) { fail(cat("truncated at byte ", bytes_.size())); }
    return static_cast<size_t>(length);
  }
  /// Up to the end of the line, without it.
  std::string_view line() {
    const std::string_view rest(reinterpret_cast<const char*>(bytes_.data()) + at_, bytes_.size() - at_);
    const size_t end = rest.find('\n');
    if (end == std::string_view::npos) { fail(cat("truncated at byte ", bytes_.size())); }
    at_ += end + 1;
    return rest.substr(0, end);
  }
  template <class T>
  T parsed(std::string_view digits) const {
    T value{};
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
    if (error != std::errc() || end != digits.data() + digits.size()) { fail(cat("\"", digits, "\" is not a number")); }
    return value;
  }

  // --- Values and the stack ---
  PickleValue& make(Kind kind) {
    if (result_.values.size() == kMostValues) { fail(cat("more than ", kMostValues, " values")); }
    result_.values.emplace_back().kind = kind;
    return result_.values.back();
  }
  void push(PickleValue& value) { stack_.push_back(&value); }
  void push_int(int64_t value) {
    PickleValue& v = make(Kind::kInt);
    v.integer = value;
    push(v);
  }
  void push_text(Kind kind, std::string_view text) {
    PickleValue& v = make(kind);
    v.text = text;
    push(v);
  }
  size_t floor() const { return marks_.empty() ? 0 : marks_.back(); }
  PickleValue* pop() {
    if (stack_.size() <= floor()) { fail(cat("the stack is empty at byte ", at_)); }
    PickleValue* value = stack_.back();
    stack_.pop_back();
    return value;
  }
  PickleValue& top(Kind kind, const char* what) {
    if (stack_.size() <= floor()) { fail(cat("the stack is empty at byte ", at_)); }
    if (stack_.back()->kind != kind) { fail(cat("expected ", what, " at byte ", at_)); }
    return *stack_.back();
  }
  /// What was pushed since the last mark; the mark is gone.
  std::vector<PickleValue*> pop_mark() {
    if (marks_.empty()) { fail(cat("no mark at byte ", at_)); }
    const auto first = stack_.begin() + static_cast<std::ptrdiff_t>(marks_.back());
    std::vector<PickleValue*> items(first, stack_.end());
    stack_.erase(first, stack_.end());
    marks_.pop_back();
    return items;
  }
  void push_items(Kind kind, std::vector<PickleValue*> items) {
    PickleValue& v = make(kind);
    v.items = std::move(items);
    push(v);
  }
  void push_tuple(size_t count) {
    std::vector<PickleValue*> items(count);
    while (count > 0) { items[--count] = pop(); }
    push_items(Kind::kTuple, std::move(items));
  }
  void append(PickleValue& target, const std::vector<PickleValue*>& items) {
    if (target.kind == Kind::kDict && items.size() % 2 != 0) { fail(cat("a key without a value at byte ", at_)); }
    target.items.insert(target.items.end(), items.begin(), items.end());
  }

  // --- Opcodes, by what they do ---
  bool constant(char op) {
    switch (op) {
      case 'N':
        push(make(Kind::kNone));
        return true;
      case '\x88':
      case '\x89': {
        PickleValue& v = make(Kind::kBool);
        v.integer = op == '\x88' ? 1 : 0;
        push(v);
        return true;
      }
      case 'J':
        push_int(number<int32_t>());
        return true;
      case 'K':
        push_int(number<uint8_t>());
        return true;
      case 'M':
        push_int(number<uint16_t>());
        return true;
      case 'I':
      case 'L':
        decimal(line());
        return true;
      case '\x8a':
        big_int(take(byte()));
        return true;
      case '\x8b':
        big_int(take(number<uint32_t>()));
        return true;
      case 'G':
      case 'F': {
        PickleValue& v = make(Kind::kFloat);
        v.real = op == 'F' ? parsed<double>(line()) : big_endian_double();
        push(v);
        return true;
      }
      default:
        return false;
    }
  }
  void decimal(std::string_view digits) {
    if (digits == "00" || digits == "01") {  // protocol 0 writes False and True so
      PickleValue& v = make(Kind::kBool);
      v.integer = digits == "01" ? 1 : 0;
      push(v);
      return;
    }
    if (!digits.empty() && digits.back() == 'L') { digits.remove_suffix(1); }
    push_int(parsed<int64_t>(digits));
  }
  /// Two's complement, the least byte first.
  void big_int(std::string_view digits) {
    const bool negative = !digits.empty() && (static_cast<unsigned char>(digits.back()) & 0x80U) != 0;
    if (digits.size() <= 8) {
      uint64_t value = negative ? ~uint64_t{0} : 0;
      std::memcpy(&value, digits.data(), digits.size());
      push_int(static_cast<int64_t>(value));
      return;
    }
    constexpr const char* kHex = "0123456789abcdef";
    std::string text = "0x";
    for (size_t i = digits.size(); i-- > 0;) {
      const auto b = static_cast<unsigned char>(digits[i]);
      text += kHex[b >> 4];
      text += kHex[b & 15];
    }
    push_text(Kind::kBigInt, text);
  }
  double big_endian_double() {
    uint64_t bits = 0;
    for (const char c : take(8)) { bits = bits << 8 | static_cast<unsigned char>(c); }
    double value;
    std::memcpy(&value, &bits, sizeof value);
    return value;
  }

  bool text(char op) {
    switch (op) {
      case 'X':
      case 'T':
        push_text(Kind::kText, take(number<uint32_t>()));
        return true;
      case '\x8c':
      case 'U':
        push_text(Kind::kText, take(byte()));
        return true;
      case '\x8d':
        push_text(Kind::kText, take(long_length()));
        return true;
      case 'V':
        push_text(Kind::kText, line());
        return true;
      case 'B':
        push_text(Kind::kBytes, take(number<uint32_t>()));
        return true;
      case 'C':
        push_text(Kind::kBytes, take(byte()));
        return true;
      case '\x8e':
      case '\x96':
        push_text(Kind::kBytes, take(long_length()));
        return true;
      default:
        return false;
    }
  }

  bool container(char op) {
    switch (op) {
      case '(':
        marks_.push_back(stack_.size());
        return true;
      case '}':
        push(make(Kind::kDict));
        return true;
      case ']':
        push(make(Kind::kList));
        return true;
      case ')':
        push(make(Kind::kTuple));
        return true;
      case 't':
        push_items(Kind::kTuple, pop_mark());
        return true;
      case 'l':
        push_items(Kind::kList, pop_mark());
        return true;
      case 'd': {
        const auto items = pop_mark();
        PickleValue& dict = make(Kind::kDict);
        append(dict, items);
        push(dict);
        return true;
      }
      case '\x85':
      case '\x86':
      case '\x87':
        push_tuple(static_cast<size_t>(static_cast<unsigned char>(op) - 0x84));
        return true;
      case 'a': {
        PickleValue* item = pop();
        append(top(Kind::kList, "a list"), {item});
        return true;
      }
      case 'e': {
        const auto items = pop_mark();
        append(top(Kind::kList, "a list"), items);
        return true;
      }
      case 's': {
        PickleValue* value = pop();
        PickleValue* key = pop();
        append(top(Kind::kDict, "a dictionary"), {key, value});
        return true;
      }
      case 'u': {
        const auto items = pop_mark();
        append(top(Kind::kDict, "a dictionary"), items);
        return true;
      }
      default:
        return false;
    }
  }

  bool stack_or_memo(char op) {
    switch (op) {
      case '\x80':  // PROTO
        if (byte() > 5) { fail("a protocol above 5"); }
        return true;
      case '\x95':  // FRAME: where the program is cut into pieces does not matter here
        number<uint64_t>();
        return true;
      case '0':
        pop();
        return true;
      case '1':
        pop_mark();
        return true;
      case '2': {
        PickleValue* value = pop();
        push(*value);
        push(*value);
        return true;
      }
      case 'q':
        remember(byte());
        return true;
      case 'r':
        remember(number<uint32_t>());
        return true;
      case 'p':
        remember(parsed<uint32_t>(line()));
        return true;
      case '\x94':
        remember(static_cast<uint32_t>(memo_.size()));
        return true;
      case 'h':
        recall(byte());
        return true;
      case 'j':
        recall(number<uint32_t>());
        return true;
      case 'g':
        recall(parsed<uint32_t>(line()));
        return true;
      default:
        return false;
    }
  }
  void remember(uint32_t index) {
    PickleValue* value = pop();
    push(*value);
    if (memo_.size() == kMostValues) { fail(cat("more than ", kMostValues, " values are remembered")); }
    memo_[index] = value;
  }
  void recall(uint32_t index) {
    const auto found = memo_.find(index);
    if (found == memo_.end()) { fail(cat("value ", index, " was never remembered")); }
    push(*found->second);
  }

  bool call(char op) {
    switch (op) {
      case 'c': {
        const std::string module(line());
        push_text(Kind::kGlobal, module + "." + std::string(line()));
        return true;
      }
      case '\x93': {
        const std::string name = pop()->text;
        push_text(Kind::kGlobal, pop()->text + "." + name);
        return true;
      }
      case 'R': {
        const PickleValue* arguments = pop();
        const PickleValue* function = pop();
        push(reduced(function_name(*function), *arguments));
        return true;
      }
      case 'b':  // what an OrderedDict carries beside its items, such as PyTorch's _metadata, is not needed
        pop();
        top(Kind::kDict, "a dictionary, the only thing that may be given a state,");
        return true;
      case 'Q': {
        const PickleValue* id = pop();
        if (id->kind != Kind::kTuple || id->items.size() > kMostIdItems) {
          fail(cat("a persistent id that is not a short tuple at byte ", at_));
        }
        push_items(Kind::kPersistent, id->items);
        return true;
      }
      case '\x81':  // NEWOBJ
      case '\x92':  // NEWOBJ_EX
        if (op == '\x92') { pop(); }
        pop();
        refuse(function_name(*pop()));
      case 'i': {  // INST
        const std::string module(line());
        refuse(module + "." + std::string(line()));
      }
      case 'o': {  // OBJ
        const auto items = pop_mark();
        if (items.empty()) { fail(cat("nothing to make at byte ", at_)); }
        refuse(function_name(*items[0]));
      }
      default:
        return false;
    }
  }
  [[noreturn]] void refuse(const std::string& name) const { throw IoError(cat(where_, ": refuses to call ", name)); }
  std::string function_name(const PickleValue& function) const {
    return function.kind == Kind::kGlobal ? function.text : "what is not a function";
  }

  PickleValue& reduced(const std::string& name, const PickleValue& arguments) {
    if (arguments.kind != Kind::kTuple) { fail(cat("arguments that are not a tuple at byte ", at_)); }
    const auto& given = arguments.items;
    const auto need = [&](size_t count) {
      if (given.size() < count) { fail(cat(name, " takes ", count, " arguments, got ", given.size())); }
    };
    if (name == "collections.OrderedDict") { return ordered_dict(given); }
    if (name == "torch._utils._rebuild_tensor_v2" || name == "torch._utils._rebuild_tensor") {
      need(4);
      PickleValue& tensor = make(Kind::kTensor);
      tensor.items.assign(given.begin(), given.begin() + 4);
      return tensor;
    }
    if (name == "torch._utils._rebuild_parameter" || name == "torch.Size" || name == "torch.device") {
      need(1);
      return *given[0];
    }
    refuse(name);
  }
  PickleValue& ordered_dict(const std::vector<PickleValue*>& given) {
    PickleValue& dict = make(Kind::kDict);
    if (given.empty()) { return dict; }
    if (given.size() > 1 || given[0]->kind != Kind::kList) { fail("an OrderedDict of something else than a list"); }
    copied_ += given[0]->items.size();
    if (copied_ > kMostValues) { fail(cat("more than ", kMostValues, " values")); }
    for (const PickleValue* pair : given[0]->items) {
      if ((pair->kind != Kind::kTuple && pair->kind != Kind::kList) || pair->items.size() != 2) {
        fail("an OrderedDict of something else than pairs");
      }
      append(dict, pair->items);
    }
    return dict;
  }

  std::span<const std::byte> bytes_;
  const std::string& where_;
  size_t at_ = 0;
  size_t copied_ = 0;  // items of lists that became dictionaries
  Pickle result_;
  std::vector<PickleValue*> stack_;
  std::vector<size_t> marks_;  // heights of the stack
  std::unordered_map<uint32_t, PickleValue*> memo_;
};

}  // namespace

Pickle read_pickle(std::span<const std::byte> bytes, const std::string& where) { return Machine(bytes, where).run(); }

}  // namespace terrace
