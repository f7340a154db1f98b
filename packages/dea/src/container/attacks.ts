import type { Capabilities } from "./capabilities.ts";

/** What an app of a stranger may try, and what of a backend stops it. The `linux` backend stops them all; tests try each. */
const attacks: readonly (readonly [attack: string, stopped: (backend: Capabilities) => boolean])[] = [
  ["a fork bomb", ({ enforces }) => enforces.pids],
  ["taking memory faster than anybody looks, or swap", ({ enforces }) => enforces.memory && enforces.swap],
  ["filling the disk", ({ enforces }) => enforces.disk],
  ["filling the disk with small files", ({ enforces }) => enforces.inodes],
  ["taking all processors", ({ enforces }) => enforces.cpuWeight],
  ["processes that hide: a session of their own, another name, no environment", ({ processes }) => processes],
  ["seeing and signalling other processes, and reading their memory and environment", ({ processes }) => processes],
  ["reading the host's files, other apps' files and droplets", ({ filesystem }) => filesystem],
  ["setuid programs, and all that the executor's own user may do", ({ user, filesystem }) => user && filesystem],
  ["mounts, key rings, and calls that lead into the kernel", ({ enforces }) => enforces.syscalls],
  ["connections to the executor, the bus, a database, other apps and the metadata address", ({ network, enforces }) => network && enforces.egress],
  ["taking ports of the host", ({ network }) => network],
];

/** What a backend of these capabilities does not stop: sentences for people, empty where strangers' code may run. */
export const unstopped = (backend: Capabilities): string[] => attacks.filter(([, stopped]) => !stopped(backend)).map(([attack]) => attack);
