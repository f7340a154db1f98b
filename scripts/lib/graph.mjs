/** Strongly connected groups of more than one node, or one that names itself (Tarjan).
 * @template T @param {Map<T, Iterable<T>>} graph @returns {T[][]} */
export function cyclesOf(graph) {
  /** @type {Map<T, number>} */ const order = new Map();
  /** @type {Map<T, number>} */ const low = new Map();
  /** @type {T[]} */ const stack = [];
  const onStack = new Set();
  /** @type {T[][]} */ const groups = [];
  /** @param {T} node */
  const visit = (node) => {
    order.set(node, order.size);
    low.set(node, order.get(node) ?? 0);
    stack.push(node);
    onStack.add(node);
    for (const next of graph.get(node) ?? []) {
      if (!order.has(next)) {
        visit(next);
        low.set(node, Math.min(low.get(node) ?? 0, low.get(next) ?? 0));
      } else if (onStack.has(next)) low.set(node, Math.min(low.get(node) ?? 0, order.get(next) ?? 0));
    }
    if (low.get(node) !== order.get(node)) return;
    const group = stack.splice(stack.indexOf(node));
    for (const member of group) onStack.delete(member);
    if (group.length > 1 || [...(graph.get(node) ?? [])].includes(node)) groups.push(group);
  };
  for (const node of graph.keys()) if (!order.has(node)) visit(node);
  return groups;
}
