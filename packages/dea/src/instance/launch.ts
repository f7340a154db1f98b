import { constants } from "node:fs";
import { access, lstat, mkdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { parse } from "yaml";
import { DeaError } from "../errors.ts";

/** Largest `staging_info.yml` read. */
const maxInfoBytes = 1024 ** 2;

/**
 * The start command: the one asked for, else the droplet's. Throws DEA_NO_COMMAND, DEA_START_FAILED (unreadable file).
 * `staging_info.yml` comes from the app's author: it must be a plain file, or a link in a droplet could make
 * the executor read a file of the host.
 */
export async function startCommand(homeDir: string, command: string | undefined): Promise<string> {
  if (command !== undefined) return command;
  const path = join(homeDir, "staging_info.yml");
  const stat = await lstat(path).catch(() => undefined);
  if (stat) {
    if (!stat.isFile() || stat.size > maxInfoBytes) throw new DeaError("DEA_START_FAILED", "staging_info.yml is not a plain file of reasonable size");
    let info: unknown;
    try {
      info = parse(await readFile(path, "utf8"));
    } catch (error) {
      throw new DeaError("DEA_START_FAILED", "staging_info.yml cannot be parsed", { cause: error });
    }
    const found = (info as { start_command?: unknown } | null)?.start_command;
    if (typeof found === "string" && found.trim() !== "") return found;
  }
  throw new DeaError("DEA_NO_COMMAND", "missing start command");
}

/** Makes the folders an app may count on. Throws DEA_START_FAILED when one of them is something else. */
export async function prepareHome(homeDir: string): Promise<void> {
  for (const name of ["app", "deps", "logs", "tmp"]) {
    const path = join(homeDir, name);
    const stat = await lstat(path).catch(() => undefined);
    if (stat && !stat.isDirectory()) throw new DeaError("DEA_START_FAILED", `${name} in the droplet is not a folder`);
    if (!stat) await mkdir(path, { mode: 0o755 });
  }
}

/**
 * What the first shell does: sources the buildpacks' scripts, then the app's, then becomes the command.
 * Everything comes in as arguments; no text of the user is pasted into the script. The order is that of the
 * Cloud Foundry launcher: `../profile.d/*`, `.profile.d/*`, `.profile`; a failing script does not stop the start.
 */
const script = `cd "$1" || exit 4
__opencf_shell=$2
__opencf_command=$3
set --
for __opencf_file in ../profile.d/* .profile.d/*; do
  if [ -f "$__opencf_file" ] && [ -r "$__opencf_file" ]; then . "./$__opencf_file"; fi
done
if [ -f .profile ] && [ -r .profile ]; then . ./.profile; fi
unset __opencf_file
exec "$__opencf_shell" -c "$__opencf_command"
`;

/** Program and arguments that launch `command` in `home/app`. */
export function launchArguments(home: string, shell: string, command: string): string[] {
  return [shell, "-c", script, "opencf-launch", `${home}/app`, shell, command];
}

/** bash where it is, else sh. */
export async function launchShell(): Promise<string> {
  for (const path of ["/bin/bash", "/usr/bin/bash", "/usr/local/bin/bash"]) {
    if (await access(path, constants.X_OK).then(() => true, () => false)) return path;
  }
  return "/bin/sh";
}
