import type { Pool } from "../pool.ts";
import { nextWildcard } from "../uri.ts";
import { HostMap } from "./host-map.ts";

/**
 * Routes of one host, by path segment:
 *
 *     shop.example.com ── (pool)
 *       └─ admin ──────── (pool)
 *            └─ v2 ────── (pool)
 */
interface Node {
  pool: Pool | undefined;
  children: Map<string, Node> | undefined;
}

/** Most hosts have no paths at all: the pool itself stands for their whole tree, and the path is not looked at. */
type Root = Pool | Node;

const isPool = (root: Root): root is Pool => (root as Pool).endpoints !== undefined;
const createNode = (): Node => ({ pool: undefined, children: undefined });

/** Every pool by host and path. Hosts are lower case, paths empty or beginning with `/`. */
export interface Trie {
  /** The pool of exactly this route. */
  get(host: string, path: string): Pool | undefined;
  /** Puts a pool where there is none. */
  put(pool: Pool, path: string): void;
  /** Takes out the pool and every branch that carries nothing any more. */
  remove(pool: Pool, path: string): void;
  /** See `RouteTable.lookup`. Where no pool is empty, none has to be looked into. */
  lookup(host: string, path: string, someEmpty: boolean): Pool | undefined;
  all(): Generator<Pool>;
  /** All of them in some hundred pieces, between which the trie may change. */
  pieces(): Generator<Pool[]>;
  readonly size: number;
}

export function createTrie(): Trie {
  const hosts = new HostMap<Root>();
  let wildcardHosts = 0;
  let size = 0;

  return {
    get(host, path) {
      const root = hosts.get(host);
      if (root === undefined || !isPool(root)) return root === undefined ? undefined : nodeAt(root, path, false)?.pool;
      return path === "" ? root : undefined;
    },

    put(pool, path) {
      const root = hosts.get(pool.host);
      size += 1;
      if (root === undefined && pool.host.startsWith("*.")) wildcardHosts += 1;
      if (path === "" && root === undefined) {
        hosts.set(pool.host, pool);
        return;
      }
      let node = root;
      if (node === undefined || isPool(node)) hosts.set(pool.host, node = { pool: node, children: undefined });
      nodeAt(node, path, true).pool = pool;
    },

    remove(pool, path) {
      const root = hosts.get(pool.host);
      if (root === undefined) return;
      size -= 1;
      if (!isPool(root) && !removePool(root, path)) return;
      hosts.delete(pool.host);
      if (pool.host.startsWith("*.")) wildcardHosts -= 1;
    },

    lookup(host, path, someEmpty) {
      const root = hosts.get(host);
      let found = root === undefined ? undefined : deepestPool(root, path);
      if (wildcardHosts === 0 || (found !== undefined && (!someEmpty || found.endpoints.length > 0))) return found;
      for (let name = nextWildcard(host); name !== undefined; name = nextWildcard(name)) {
        const wider = hosts.get(name);
        const pool = wider === undefined ? undefined : deepestPool(wider, path);
        if (pool === undefined) continue;
        if (pool.endpoints.length > 0) return pool;
        found ??= pool;
      }
      return found;
    },

    *all() {
      for (const roots of hosts.pieces()) {
        for (const root of roots) {
          if (isPool(root)) yield root;
          else yield* poolsBelow(root);
        }
      }
    },

    *pieces() {
      for (const roots of hosts.pieces()) yield roots.flatMap((root) => (isPool(root) ? [root] : [...poolsBelow(root)]));
    },

    get size() { return size; },
  };
}

/** The deepest pool along `path` that has endpoints; when none has, the deepest empty one. */
function deepestPool(root: Root, path: string): Pool | undefined {
  if (isPool(root)) return root;
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

/** The node of exactly this path, made on the way when `create` says so. */
function nodeAt(root: Node, path: string, create: true): Node;
function nodeAt(root: Node, path: string, create: false): Node | undefined;
function nodeAt(root: Node, path: string, create: boolean): Node | undefined {
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

/** Gives true when the root itself is bare afterwards. */
function removePool(root: Node, path: string): boolean {
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

function* poolsBelow(node: Node): Generator<Pool> {
  if (node.pool !== undefined) yield node.pool;
  if (node.children !== undefined) for (const child of node.children.values()) yield* poolsBelow(child);
}

const segmentsOf = (path: string): string[] => (path === "" ? [] : path.slice(1).split("/"));
const isBare = (node: Node): boolean => node.pool === undefined && node.children === undefined;
