// The bytes of a pickle, read from the first to the last: opcodes and the operands behind them.
#pragma once

#include <charconv>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>

#include "tensor/base/error.h"

namespace terrace {

/// The opcodes that are known here, by their names in Python's pickletools.
enum class PickleOp : uint8_t {
  kMark = '(',
  kStop = '.',
  kPop = '0',
  kPopMark = '1',
  kDup = '2',
  kEmptyTuple = ')',
  kBinBytes = 'B',
  kShortBinBytes = 'C',
  kFloat = 'F',
  kBinFloat = 'G',
  kInt = 'I',
  kBinInt = 'J',
  kBinInt1 = 'K',
  kLong = 'L',
  kBinInt2 = 'M',
  kNone = 'N',
  kBinPersId = 'Q',
  kReduce = 'R',
  kBinString = 'T',
  kShortBinString = 'U',
  kUnicode = 'V',
  kBinUnicode = 'X',
  kEmptyList = ']',
  kAppend = 'a',
  kBuild = 'b',
  kGlobal = 'c',
  kDict = 'd',
  kAppends = 'e',
  kGet = 'g',
  kBinGet = 'h',
  kInst = 'i',
  kLongBinGet = 'j',
  kList = 'l',
  kObj = 'o',
  kPut = 'p',
  kBinPut = 'q',
  kLongBinPut = 'r',
  kSetItem = 's',
  kTuple = 't',
  kSetItems = 'u',
  kEmptyDict = '}',
  kProto = 0x80,
  kNewObj = 0x81,
  kTuple1 = 0x85,
  kTuple2 = 0x86,
  kTuple3 = 0x87,
  kNewTrue = 0x88,
  kNewFalse = 0x89,
  kLong1 = 0x8a,
  kLong4 = 0x8b,
  kShortBinUnicode = 0x8c,
  kBinUnicode8 = 0x8d,
  kBinBytes8 = 0x8e,
  kNewObjEx = 0x92,
  kStackGlobal = 0x93,
  kMemoize = 0x94,
  kFrame = 0x95,
  kByteArray8 = 0x96,
};

/// A read beyond the last byte is an IoError.
class PickleProgram {
 public:
  /// `where` opens every error text. It and the bytes must outlive the program.
  PickleProgram(std::span<const std::byte> bytes, const std::string& where) : bytes_(bytes), where_(where) {}

  size_t position() const { return at_; }
  /// IoError "WHERE: pickle: WHY".
  [[noreturn]] void fail(const std::string& why) const { throw IoError(cat(where_, ": pickle: ", why)); }
  /// IoError "WHERE: refuses to call NAME".
  [[noreturn]] void refuse_call(const std::string& name) const {
    throw IoError(cat(where_, ": refuses to call ", name));
  }

  uint8_t byte() { return static_cast<uint8_t>(take(1)[0]); }
  std::string_view take(size_t count);
  /// A little-endian number.
  template <class T>
  T number() {
    T value;
    std::memcpy(&value, take(sizeof value).data(), sizeof value);
    return value;
  }
  double big_endian_double();
  /// A length of 64 bits; one beyond the size of the program is refused.
  size_t long_length();
  /// Up to the end of the line, without it.
  std::string_view line();
  /// What decimal digits say.
  template <class T>
  T parsed(std::string_view digits) const {
    T value{};
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
    if (error != std::errc() || end != digits.data() + digits.size()) { fail(cat("\"", digits, "\" is not a number")); }
    return value;
  }

 private:
  [[noreturn]] void fail_truncated() const { fail(cat("truncated at byte ", bytes_.size())); }

  std::span<const std::byte> bytes_;
  const std::string& where_;
  size_t at_ = 0;
};

}  // namespace terrace
