import type { HostView } from "./view.ts";

/** What a sandbox is built around. */
export interface Enclosure {
  view: HostView;
  /** Folder of the droplet, on the host: the only place that can be written. */
  homeDir: string;
  /** Seen as `/tmp`, in the home so that the disk limit counts it. */
  temporaryDir: string;
  /** An empty folder on the host to build the root in. */
  rootDir: string;
}
