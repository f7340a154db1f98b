import { constants } from "node:fs";
import { access } from "node:fs/promises";
import { join } from "node:path";

/** Where programs are on a root file system of its own. */
export const stackSearchPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/** Shell of a root file system, as it is called inside: bash where the folder has it, else sh. */
export const shellIn = (root: string): Promise<string> => access(join(root, "bin/bash"), constants.X_OK).then(() => "/bin/bash", () => "/bin/sh");

/** Program and options for scripts of ours: bash without a user's BASH_ENV. */
export const plainShell = (shell: string): string[] => (shell === "/bin/bash" ? [shell, "-p"] : [shell]);
