// The part of Python's pickle language that files of tensors need. A pickle is a program for a stack machine; its
// danger is that it may call any function by name. This machine calls none: it builds plain values, knows a handful of
// names that PyTorch's tensors need, and refuses every other call, naming what was to be called.
//
//   known: collections.OrderedDict, torch._utils._rebuild_tensor, _rebuild_tensor_v2, _rebuild_parameter, torch.Size,
//          torch.device; persistent ids, by which PyTorch refers to storages
//
// Source: the opcodes of Python's pickletools, protocols 0 to 5.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <span>
#include <string>
#include <vector>

namespace terrace {

struct PickleValue {
  enum class Kind : uint8_t {
    kNone,
    kBool,        // integer
    kInt,         // integer
    kBigInt,      // text: beyond 64 bits, as "0x" and digits of its two's complement
    kFloat,       // real
    kText,        // text
    kBytes,       // text
    kList,        // items
    kTuple,       // items
    kDict,        // items: key, value, key, value, in order of insertion; a repeated key stands there twice
    kGlobal,      // text: "module.name"; nothing has been looked up
    kPersistent,  // items: of the tuple that identifies it
    kTensor,      // items: storage, offset, size, stride
  };
  Kind kind = Kind::kNone;
  int64_t integer = 0;
  double real = 0;
  std::string text;
  std::vector<PickleValue*> items;
};

struct Pickle {
  std::deque<PickleValue> values;  // all that were made; they refer to each other, possibly in circles
  PickleValue* root = nullptr;
  size_t end = 0;  // position behind the program
};

/// Runs the program at the head of `bytes`. Throws IoError, opening with `where`: a truncated program, an opcode that
/// is not known, a call that is refused ("refuses to call posix.system"), more values than weights have.
Pickle read_pickle(std::span<const std::byte> bytes, const std::string& where);

}  // namespace terrace
