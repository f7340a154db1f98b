import type { Pool } from "../pool.ts";

/**
 * Routes of one host, by path segment:
 *
 *     shop.example.com ── (pool)
 *       └─ admin ──────── (pool)
 *            └─ v2 ────── (pool)
 *
 * Most hosts have no paths at all, and are answered without looking at the path.
 */
export interface Node {
  pool: Pool | undefined;
  children: Map<string, Node> | undefined;
}

export const createNode = (): Node => ({ pool: undefined, children: undefined });

/** The node of exactly this path, made on the way when `create` says so. `path` is empty or starts with `/`. */
export function nodeAt(root: Node, path: string, create: true): Node;
export function nodeAt(root: Node, path: string, create: false): Node | undefined;
export function nodeAt(root: Node, path: string, create: boolean): Node | undefined {
  let node = root;
  for (const segment of segmentsOf(path)) {
    let child = node.children?.get(segment);
    if (child === undefined) {
      if (!create) return undefined;
      child = createNode();
      (node.children ??= new Map()).set(segment, child);
    }
    node = child;
  }
  return node;
}

/** The deepest pool along `path` that has endpoints; when none has, the deepest empty one. */
export function deepestPool(root: Node, path: string): Pool | undefined {
  let best = root.pool;
  let node = root;
  let start = 1;
  while (node.children !== undefined && start <= path.length) {
    let end = path.indexOf("/", start);
    if (end < 0) end = path.length;
    const child = node.children.get(path.slice(start, end));
    if (child === undefined) break;
    node = child;
    start = end + 1;
    const pool = node.pool;
    if (pool !== undefined && (pool.endpoints.length > 0 || best === undefined || best.endpoints.length === 0)) best = pool;
  }
  return best;
}

/** Takes the pool at `path` out, and every branch that carries nothing any more. Gives true when the root itself is bare. */
export function removePool(root: Node, path: string): boolean {
  const trail: [Node, string][] = [];
  let node: Node | undefined = root;
  for (const segment of segmentsOf(path)) {
    trail.push([node, segment]);
    node = node.children?.get(segment);
    if (node === undefined) return isBare(root);
  }
  node.pool = undefined;
  for (const [parent, segment] of trail.reverse()) {
    const child = parent.children?.get(segment);
    if (child === undefined || !isBare(child)) break;
    parent.children?.delete(segment);
    if (parent.children?.size === 0) parent.children = undefined;
  }
  return isBare(root);
}

const segmentsOf = (path: string): string[] => (path === "" ? [] : path.slice(1).split("/"));
const isBare = (node: Node): boolean => node.pool === undefined && node.children === undefined;
