#include "data/formats/without_checksums.h"

#include "tensor/base/error.h"
#include "tensor/base/notes.h"

namespace terrace {

void note_without_checksums(const std::string& path) {
  note(cat(path,
           " has no checksums: damage in its numbers is not noticed; convert_weights writes files that have them"));
}

}  // namespace terrace
