#include "data/formats/pickle.h"

#include <cstring>
#include <string_view>

#include "data/formats/pickle_program.h"
#include "data/formats/pickle_stack.h"
#include "tensor/base/error.h"

namespace terrace {
namespace {

using Kind = PickleValue::Kind;
using Op = PickleOp;

constexpr size_t kMaxSteps = 64 << 20;
constexpr size_t kMaxIdItems = 8;

class Machine {
 public:
  Machine(std::span<const std::byte> bytes, const std::string& where) : program_(bytes, where), stack_(program_) {}

  Pickle run() {
    for (size_t steps = 0;; ++steps) {
      if (steps == kMaxSteps) { program_.fail(cat("more than ", kMaxSteps, " steps")); }
      const size_t start = program_.position();
      const auto op = static_cast<Op>(program_.byte());
      if (op == Op::kStop) { break; }
      if (!constant(op) && !text(op) && !container(op) && !stack_or_memo(op) && !call(op)) {
        program_.fail(cat("opcode ", static_cast<int>(op), " at byte ", start, " is not known"));
      }
    }
    Pickle result;
    result.root = stack_.pop();
    result.end = program_.position();
    result.values = stack_.take_values();
    return result;
  }

 private:
  // --- Opcodes, by what they do: each function says whether `op` is one of its own ---
  bool constant(Op op) {
    switch (op) {
      case Op::kNone:
        stack_.push(stack_.make(Kind::kNone));
        return true;
      case Op::kNewTrue:
      case Op::kNewFalse:
        stack_.push_bool(op == Op::kNewTrue);
        return true;
      case Op::kBinInt:
        stack_.push_int(program_.number<int32_t>());
        return true;
      case Op::kBinInt1:
        stack_.push_int(program_.number<uint8_t>());
        return true;
      case Op::kBinInt2:
        stack_.push_int(program_.number<uint16_t>());
        return true;
      case Op::kInt:
      case Op::kLong:
        decimal(program_.line());
        return true;
      case Op::kLong1:
        big_int(program_.take(program_.byte()));
        return true;
      case Op::kLong4:
        big_int(program_.take(program_.number<uint32_t>()));
        return true;
      case Op::kBinFloat:
      case Op::kFloat: {
        PickleValue& v = stack_.make(Kind::kFloat);
        v.real = op == Op::kFloat ? program_.parsed<double>(program_.line()) : program_.big_endian_double();
        stack_.push(v);
        return true;
      }
      default:
        return false;
    }
  }
  void decimal(std::string_view digits) {
    if (digits == "00" || digits == "01") {  // protocol 0 writes False and True so
      stack_.push_bool(digits == "01");
      return;
    }
    if (!digits.empty() && digits.back() == 'L') { digits.remove_suffix(1); }
    stack_.push_int(program_.parsed<int64_t>(digits));
  }
  /// Two's complement, the least byte first.
  void big_int(std::string_view digits) {
    const bool negative = !digits.empty() && (static_cast<unsigned char>(digits.back()) & 0x80U) != 0;
    if (digits.size() <= 8) {
      uint64_t value = negative ? ~uint64_t{0} : 0;
      std::memcpy(&value, digits.data(), digits.size());
      stack_.push_int(static_cast<int64_t>(value));
      return;
    }
    constexpr const char* kHex = "0123456789abcdef";
    std::string text = "0x";
    for (size_t i = digits.size(); i-- > 0;) {
      const auto b = static_cast<unsigned char>(digits[i]);
      text += kHex[b >> 4];
      text += kHex[b & 15];
    }
    stack_.push_text(Kind::kBigInt, text);
  }

  bool text(Op op) {
    switch (op) {
      case Op::kBinUnicode:
      case Op::kBinString:
        stack_.push_text(Kind::kText, program_.take(program_.number<uint32_t>()));
        return true;
      case Op::kShortBinUnicode:
      case Op::kShortBinString:
        stack_.push_text(Kind::kText, program_.take(program_.byte()));
        return true;
      case Op::kBinUnicode8:
        stack_.push_text(Kind::kText, program_.take(program_.long_length()));
        return true;
      case Op::kUnicode:
        stack_.push_text(Kind::kText, program_.line());
        return true;
      case Op::kBinBytes:
        stack_.push_text(Kind::kBytes, program_.take(program_.number<uint32_t>()));
        return true;
      case Op::kShortBinBytes:
        stack_.push_text(Kind::kBytes, program_.take(program_.byte()));
        return true;
      case Op::kBinBytes8:
      case Op::kByteArray8:
        stack_.push_text(Kind::kBytes, program_.take(program_.long_length()));
        return true;
      default:
        return false;
    }
  }

  bool container(Op op) {
    switch (op) {
      case Op::kMark:
        stack_.mark();
        return true;
      case Op::kEmptyDict:
        stack_.push(stack_.make(Kind::kDict));
        return true;
      case Op::kEmptyList:
        stack_.push(stack_.make(Kind::kList));
        return true;
      case Op::kEmptyTuple:
        stack_.push(stack_.make(Kind::kTuple));
        return true;
      case Op::kTuple:
        stack_.push_items(Kind::kTuple, stack_.pop_mark());
        return true;
      case Op::kList:
        stack_.push_items(Kind::kList, stack_.pop_mark());
        return true;
      case Op::kDict: {
        const auto items = stack_.pop_mark();
        PickleValue& dict = stack_.make(Kind::kDict);
        stack_.append(dict, items);
        stack_.push(dict);
        return true;
      }
      case Op::kTuple1:
        stack_.push_tuple(1);
        return true;
      case Op::kTuple2:
        stack_.push_tuple(2);
        return true;
      case Op::kTuple3:
        stack_.push_tuple(3);
        return true;
      default:
        return grow(op);
    }
  }
  bool grow(Op op) {
    switch (op) {
      case Op::kAppend: {
        PickleValue* item = stack_.pop();
        stack_.append(stack_.top(Kind::kList, "a list"), {item});
        return true;
      }
      case Op::kAppends: {
        const auto items = stack_.pop_mark();
        stack_.append(stack_.top(Kind::kList, "a list"), items);
        return true;
      }
      case Op::kSetItem: {
        PickleValue* value = stack_.pop();
        PickleValue* key = stack_.pop();
        stack_.append(stack_.top(Kind::kDict, "a dictionary"), {key, value});
        return true;
      }
      case Op::kSetItems: {
        const auto items = stack_.pop_mark();
        stack_.append(stack_.top(Kind::kDict, "a dictionary"), items);
        return true;
      }
      default:
        return false;
    }
  }

  bool stack_or_memo(Op op) {
    switch (op) {
      case Op::kProto:
        if (program_.byte() > 5) { program_.fail("a protocol above 5"); }
        return true;
      case Op::kFrame:  // the length of a part of the program; this machine has all of it in memory
        program_.number<uint64_t>();
        return true;
      case Op::kPop:
        stack_.pop();
        return true;
      case Op::kPopMark:
        stack_.pop_mark();
        return true;
      case Op::kDup: {
        PickleValue* value = stack_.pop();
        stack_.push(*value);
        stack_.push(*value);
        return true;
      }
      case Op::kBinPut:
        stack_.remember(program_.byte());
        return true;
      case Op::kLongBinPut:
        stack_.remember(program_.number<uint32_t>());
        return true;
      case Op::kPut:
        stack_.remember(program_.parsed<uint32_t>(program_.line()));
        return true;
      case Op::kMemoize:
        stack_.remember_next();
        return true;
      case Op::kBinGet:
        stack_.recall(program_.byte());
        return true;
      case Op::kLongBinGet:
        stack_.recall(program_.number<uint32_t>());
        return true;
      case Op::kGet:
        stack_.recall(program_.parsed<uint32_t>(program_.line()));
        return true;
      default:
        return false;
    }
  }

  // --- Names and calls ---
  bool call(Op op) {
    switch (op) {
      case Op::kGlobal: {
        const std::string module(program_.line());
        stack_.push_text(Kind::kGlobal, module + "." + std::string(program_.line()));
        return true;
      }
      case Op::kStackGlobal: {
        const std::string name = stack_.pop()->text;
        stack_.push_text(Kind::kGlobal, stack_.pop()->text + "." + name);
        return true;
      }
      case Op::kReduce: {
        const PickleValue* arguments = stack_.pop();
        const PickleValue* function = stack_.pop();
        stack_.push(reduced(function_name(*function), *arguments));
        return true;
      }
      case Op::kBuild:  // what an OrderedDict carries beside its items, such as PyTorch's _metadata, is not needed
        stack_.pop();
        stack_.top(Kind::kDict, "a dictionary, the only thing that may be given a state,");
        return true;
      case Op::kBinPersId: {
        const PickleValue* id = stack_.pop();
        if (id->kind != Kind::kTuple || id->items.size() > kMaxIdItems) {
          program_.fail(cat("a persistent id that is not a short tuple at byte ", program_.position()));
        }
        stack_.push_items(Kind::kPersistent, id->items);
        return true;
      }
      case Op::kNewObj:
      case Op::kNewObjEx:
        if (op == Op::kNewObjEx) { stack_.pop(); }
        stack_.pop();
        program_.refuse_call(function_name(*stack_.pop()));
      case Op::kInst: {
        const std::string module(program_.line());
        program_.refuse_call(module + "." + std::string(program_.line()));
      }
      case Op::kObj: {
        const auto items = stack_.pop_mark();
        if (items.empty()) { program_.fail(cat("nothing to make at byte ", program_.position())); }
        program_.refuse_call(function_name(*items[0]));
      }
      default:
        return false;
    }
  }
  static std::string function_name(const PickleValue& function) {
    return function.kind == Kind::kGlobal ? function.text : "what is not a function";
  }

  PickleValue& reduced(const std::string& name, const PickleValue& arguments) {
    if (arguments.kind != Kind::kTuple) {
      program_.fail(cat("arguments that are not a tuple at byte ", program_.position()));
    }
    const auto& given = arguments.items;
    const auto need = [&](size_t count) {
      if (given.size() < count) { program_.fail(cat(name, " takes ", count, " arguments, got ", given.size())); }
    };
    if (name == "collections.OrderedDict") { return ordered_dict(given); }
    if (name == "torch._utils._rebuild_tensor_v2" || name == "torch._utils._rebuild_tensor") {
      need(4);
      PickleValue& tensor = stack_.make(Kind::kTensor);
      tensor.items.assign(given.begin(), given.begin() + 4);
      return tensor;
    }
    if (name == "torch._utils._rebuild_parameter" || name == "torch.Size" || name == "torch.device") {
      need(1);
      return *given[0];
    }
    program_.refuse_call(name);
  }
  PickleValue& ordered_dict(const std::vector<PickleValue*>& given) {
    PickleValue& dict = stack_.make(Kind::kDict);
    if (given.empty()) { return dict; }
    if (given.size() > 1 || given[0]->kind != Kind::kList) {
      program_.fail("an OrderedDict of something else than a list");
    }
    copied_ += given[0]->items.size();
    if (copied_ > kMaxPickleValues) { program_.fail(cat("more than ", kMaxPickleValues, " values")); }
    for (const PickleValue* pair : given[0]->items) {
      if ((pair->kind != Kind::kTuple && pair->kind != Kind::kList) || pair->items.size() != 2) {
        program_.fail("an OrderedDict of something else than pairs");
      }
      stack_.append(dict, pair->items);
    }
    return dict;
  }

  PickleProgram program_;
  PickleStack stack_;
  size_t copied_ = 0;  // items of lists that became dictionaries
};

}  // namespace

Pickle read_pickle(std::span<const std::byte> bytes, const std::string& where) { return Machine(bytes, where).run(); }

}  // namespace terrace
