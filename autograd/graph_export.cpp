#include "autograd/graph_export.h"

#include <map>

#include "autograd/variable_impl.h"

namespace terrace {
namespace {

std::string escape(const std::string& text) {
  std::string escaped;
  for (char c : text) {
    if (c == '"' || c == '\\') { escaped += '\\'; }
    escaped += c;
  }
  return escaped;
}

}  // namespace

std::string to_dot(const Variable& output, const std::vector<std::pair<std::string, Variable>>& names) {
  std::map<const void*, std::string> leaf_names;
  for (const auto& [name, variable] : names) { leaf_names[variable.impl().get()] = escape(name); }

  std::ostringstream nodes, edges;
  std::map<const void*, int> ids;
  std::vector<const Node*> pending;
  const auto id_of = [&](const Node::Edge& edge) {
    const void* key = edge.leaf ? static_cast<const void*>(edge.leaf.get()) : edge.node.get();
    const auto [it, fresh] = ids.try_emplace(key, static_cast<int>(ids.size()));
    if (fresh && edge.leaf) {
      const auto name = leaf_names.find(key);
      nodes << "  n" << it->second << " [shape=ellipse, label=\"" << (name == leaf_names.end() ? "leaf" : name->second)
            << "\\n"
            << edge.leaf->value.shape() << "\"];\n";
    } else if (fresh) {
      nodes << "  n" << it->second << " [shape=box, label=\"" << edge.node->name << "\\n"
            << edge.node->outputs[0].shape << "\"];\n";
      pending.push_back(edge.node.get());
    }
    return it->second;
  };
  Node::Edge root;
  if (output.is_leaf()) {
    root.leaf = output.impl();
  } else {
    root.node = output.node();
  }
  id_of(root);
  while (!pending.empty()) {
    const Node* node = pending.back();
    pending.pop_back();
    const int to = ids.at(node);
    for (const Node::Edge& edge : node->inputs) {
      if (edge.needed()) { edges << "  n" << id_of(edge) << " -> n" << to << ";\n"; }
    }
  }
  return "digraph autograd {\n  rankdir=BT;\n" + nodes.str() + edges.str() + "}\n";
}

}  // namespace terrace
