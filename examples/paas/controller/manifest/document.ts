import { isAlias, isMap, isScalar, isSeq, parseDocument, type Node } from "yaml";

/** Why a manifest could not be read at all. `kind` decides the status: 400 (1001), 400 (1004) or 422 (10008). */
export interface DocumentProblem {
  kind: "parse" | "bad-request" | "unprocessable";
  text: string;
}

export type DocumentResult = { ok: true; version?: number; applications: Record<string, unknown>[] } | { ok: false; problem: DocumentProblem };

const maxBytes = 1024 * 1024;
const maxDepth = 32;
const maxNodes = 100_000;

class Refused extends Error {
  readonly problem: DocumentProblem;
  constructor(problem: DocumentProblem) {
    super(problem.text);
    this.problem = problem;
  }
}
const refuse = (kind: DocumentProblem["kind"], text: string): never => {
  throw new Refused({ kind, text });
};

/**
 * Reads the YAML of an app manifest (at most 1 MiB, 32 levels, 100 000 nodes, one document).
 * Anchors and aliases are refused: the command line has resolved them before sending, and they are how a small
 * document becomes a large one. Numbers below `env` keep the spelling they were written in: `1.10` stays `1.10`.
 */
export function readManifest(text: string): DocumentResult {
  try {
    if (Buffer.byteLength(text) > maxBytes) refuse("bad-request", "Manifest size is too large. The maximum supported manifest size is 1MB.");
    if (deepFlow(text)) refuse("parse", "invalid request body");
    const document = parseDocument(text, { prettyErrors: false, uniqueKeys: false, stringKeys: false, logLevel: "silent" });
    // A merge key or alias to nothing is an error of the parser too, but deserves the clearer text.
    const root = document.contents ? plain(document.contents as Node, { depth: 0, count: { nodes: 0 }, path: [] }) : undefined;
    if (document.errors.length > 0 || !isObject(root)) return { ok: false, problem: { kind: "parse", text: "invalid request body" } };
    return applicationsOf(root);
  } catch (error) {
    if (error instanceof Refused) return { ok: false, problem: error.problem };
    return { ok: false, problem: { kind: "parse", text: "invalid request body" } };
  }
}

function applicationsOf(root: Record<string, unknown>): DocumentResult {
  const version = root["version"];
  if (version !== undefined && version !== null && version !== 1)
    refuse("unprocessable", "Unsupported manifest schema version. Currently supported versions: [1].");
  const applications = root["applications"];
  if (!Array.isArray(applications) || applications.length === 0)
    return refuse("unprocessable", "Cannot parse manifest with no 'applications' field.");
  if (!applications.every(isObject)) return refuse("unprocessable", "'applications' must be a list of objects");
  return { ok: true, applications };
}

interface Walk {
  depth: number;
  count: { nodes: number };
  path: readonly string[];
}

function plain(node: Node | null | undefined, walk: Walk): unknown {
  if (node === null || node === undefined) return null;
  if (isAlias(node) || node.anchor !== undefined) refuse("bad-request", "Manifest does not support Anchors and Aliases");
  if (walk.depth > maxDepth || ++walk.count.nodes > maxNodes) refuse("parse", "invalid request body");
  const below = (key: string): Walk => ({ depth: walk.depth + 1, count: walk.count, path: [...walk.path, key] });
  if (isMap(node)) {
    const map: Record<string, unknown> = {};
    walk.count.nodes += node.items.length;
    for (const { key, value } of node.items) {
      const name = key === null ? "" : isScalar(key) ? String(key.source ?? key.value ?? "") : refuse("parse", "invalid request body");
      // defineProperty: a key called __proto__ is data like any other.
      Object.defineProperty(map, name, { value: plain(value as Node, below(name)), enumerable: true, configurable: true, writable: true });
    }
    return map;
  }
  if (isSeq(node)) return node.items.map((item) => plain(item as Node, below("*")));
  if (isScalar(node)) {
    const inEnvironment = walk.path.length === 4 && walk.path[0] === "applications" && walk.path[2] === "env";
    if (typeof node.value === "number") return inEnvironment || !Number.isFinite(node.value) ? (node.source ?? String(node.value)) : node.value;
    return typeof node.value === "bigint" ? String(node.value) : (node.value ?? null);
  }
  return null;
}

/** Flow nesting deeper than the parser's stack likes: `[[[[…`. Counted without looking at quotes, which only errs for texts nobody writes. */
function deepFlow(text: string): boolean {
  let depth = 0;
  for (let index = 0; index < text.length; index++) {
    const char = text.charCodeAt(index);
    if (char === 0x5b || char === 0x7b) {
      if (++depth > 500) return true;
    } else if (char === 0x5d || char === 0x7d) depth = Math.max(0, depth - 1);
  }
  return false;
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
