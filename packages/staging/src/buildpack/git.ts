import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { StagingError } from "../errors.ts";
import { maskSecrets, splitCredentials } from "../mask.ts";
import { removeTree } from "../remove-tree.ts";
import { run, type RunResult } from "../script/run.ts";

export interface CloneOptions {
  /** Branch, tag or commit. Default: what the repository calls its head. */
  ref?: string | undefined;
  /** Empty scratch folder for git's own files. */
  home: string;
  env: Readonly<Record<string, string>>;
  signal: AbortSignal;
  onLine: (text: string, stream: "out" | "err") => void;
  onStart?: (pid: number) => void;
  /** Transports git may use. */
  protocols: readonly string[];
}

/**
 * Clones a repository: shallow when that works, else whole, which also finds a bare commit id.
 * Credentials in the URL travel as a header that only their own host gets, so neither the process list nor `.git/config` shows them.
 * @throws StagingError `STAGING_BUILDPACK_CLONE_FAILED`, with what git said, masked
 */
export async function cloneRepository(url: string, folder: string, { ref, home, env, signal, onLine, onStart, protocols }: CloneOptions): Promise<void> {
  const { address, config } = prepare(url);
  const shown = maskSecrets(url);
  if (ref !== undefined && !/^[^-\s~^:?*[\\][^\s~^:?*[\\]*$/.test(ref))
    throw new StagingError("STAGING_BUILDPACK_CLONE_FAILED", `${JSON.stringify(ref)} cannot be the name of a branch, tag or commit of ${shown}`, { phase: "buildpack", buildpack: shown });
  await mkdir(home, { recursive: true });
  const settings: Record<string, string> = {
    ...env,
    HOME: home,
    LC_ALL: "C",
    GIT_CONFIG_NOSYSTEM: "1",
    GIT_CONFIG_GLOBAL: "/dev/null",
    GIT_TERMINAL_PROMPT: "0",
    GIT_ASKPASS: "true",
    GIT_SSH_COMMAND: "ssh -o BatchMode=yes",
    GIT_ALLOW_PROTOCOL: protocols.join(":"),
    GIT_CONFIG_COUNT: String(config.length),
    ...Object.fromEntries(config.flatMap(([key, value], index) => [[`GIT_CONFIG_KEY_${index}`, key], [`GIT_CONFIG_VALUE_${index}`, value]])),
  };
  const git = (...args: string[]): Promise<RunResult> =>
    run("git", { args, env: settings, cwd: home, signal, onLine: (text, stream) => onLine(maskSecrets(text), stream), ...(onStart && { onStart }) });

  let result = await git("clone", "--quiet", "--depth", "1", "--recursive", ...(ref === undefined ? [] : ["-b", ref]), "--", address, folder);
  if (result.exit !== 0 && !isHopeless(result, ref)) {
    await removeTree(folder);
    result = await git("clone", "--quiet", "--recursive", "--", address, folder);
    if (result.exit === 0 && ref !== undefined) result = await git("-C", folder, "checkout", "--quiet", ref, "--");
    if (result.exit === 0 && ref !== undefined) result = await git("-C", folder, "submodule", "--quiet", "update", "--init", "--recursive");
  }
  if (result.exit === 0) return removeTree(join(folder, ".git"));
  const said = maskSecrets(result.tail.join("\n")).trim();
  const reason = result.exit === 127 ? "the git program is not installed on this machine" : said || `git ended with ${result.exit}`;
  throw new StagingError("STAGING_BUILDPACK_CLONE_FAILED", `could not clone ${shown}${ref === undefined ? "" : ` at ${ref}`}: ${reason}`, {
    phase: "buildpack", buildpack: shown, exit: result.exit, tail: result.tail.map(maskSecrets),
  });
}

/** Failures which a full clone would only repeat. That the branch is not there is one of them, unless the name may be a commit. */
function isHopeless({ exit, tail }: RunResult, ref: string | undefined): boolean {
  const said = tail.join("\n");
  if (exit === 127) return true;
  if (/remote branch .* not found/i.test(said)) return ref === undefined || !/^[0-9a-f]{7,40}$/i.test(ref);
  return /could not resolve host|authentication failed|could not read username|repository .* (?:not found|does not exist)|connection refused|transport .* not allowed/i.test(said);
}

function prepare(url: string): { address: string; config: [string, string][] } {
  if (!/^https?:\/\//i.test(url)) return { address: url, config: [] };
  const { url: clean, authorization } = splitCredentials(new URL(url));
  return { address: clean.href, config: authorization === undefined ? [] : [[`http.${clean.origin}/.extraHeader`, `Authorization: ${authorization}`]] };
}
