import { bubblewrapArguments } from "./bubblewrap.ts";
import type { Enclosure } from "./enclosure.ts";
import { holdEnvironment, insideArguments } from "./held.ts";
import type { Tools } from "./tools.ts";
import { isBuilt, userNamespaceArguments } from "./user-namespace.ts";

/** Kinds of sandboxes, best first. */
export const sandboxKinds = ["bubblewrap", "user-namespace"] as const;
export type SandboxKind = (typeof sandboxKinds)[number];

export interface Inner {
  argv: readonly string[];
  env: readonly string[];
  /** As the app sees it. */
  cwd: string;
  maxProcesses: number;
}

/** What to run on the host, and the files it reads while it starts. */
export interface Outer {
  argv: string[];
  env: string[];
  files: readonly { path: string; text: string }[];
}

/*
 *   keeper (host)
 *     └─ bwrap or unshare: waits, tells how it ended
 *          └─ process 1 of the sandbox: a user namespace in which the executor's user is root; it owns the mounts and takes in orphans
 *               └─ the app: a user namespace in that one, with the executor's user as itself and no rights
 */
export interface Sandbox {
  readonly kind: SandboxKind;
  /** A process of its own that starts another one in a new sandbox; `tableFile` is a name for a file it may need. */
  wrap(enclosure: Enclosure, inner: Inner, tableFile: string): Outer;
  /** Whether what was wrapped with this table is built, so that those inside are the app's. */
  isUp(tableFile: string): boolean;
  /** Starts another one in the sandbox whose first process is `first`, by its number on the host. */
  enter(first: number, inner: Inner): Outer;
}

export function createSandbox(kind: SandboxKind, tools: Tools): Sandbox {
  const uid = process.getuid?.() ?? 0;
  const gid = process.getgid?.() ?? 0;
  // Who is no root loses all rights when the next program starts; root would keep those over its own namespace.
  const drop = uid === 0 ? ["--bounding-set", "-all", "--inh-caps", "-all"] : [];
  const own = ({ argv, cwd, maxProcesses }: Inner): string[] => [
    tools.unshare, "--user", `--map-user=${uid}`, `--map-group=${gid}`, "--", tools.setpriv, "--no-new-privs", ...drop, "--",
    ...insideArguments(tools.bash, cwd, maxProcesses, argv),
  ];
  return {
    kind,
    wrap(enclosure, inner, tableFile) {
      const env = holdEnvironment(inner.env);
      if (kind === "bubblewrap") return { argv: bubblewrapArguments(tools.bubblewrap ?? "bwrap", enclosure, own(inner)), env, files: [] };
      const { argv, table } = userNamespaceArguments(tools, enclosure, tableFile, own(inner));
      return { argv, env, files: [{ path: tableFile, text: table }] };
    },
    isUp: (tableFile) => kind === "bubblewrap" || isBuilt(tableFile),
    enter: (first, inner) => ({
      argv: [tools.nsenter, "--target", String(first), "--user", "--preserve-credentials", "--mount", "--pid", "--ipc", "--uts", "--", ...own(inner)],
      env: holdEnvironment(inner.env),
      files: [],
    }),
  };
}
