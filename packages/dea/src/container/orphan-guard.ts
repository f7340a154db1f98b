import { spawn } from "node:child_process";
import { markVariable } from "./mark.ts";

/*
 * Waits on a pipe that the executor holds. The word "done": the executor ended in good order. The end of the pipe
 * without it: the executor was killed, and since its folder was a temporary one, no other will ever come for what it
 * left. Then everything with its mark is killed (thrice: a fork may slip through once) and the folder removed.
 */
const script = `read -r word
[ "$word" = done ] && exit 0
for round in 1 2 3; do
  for entry in /proc/[0-9]*; do
    if tr '\\0' '\\n' <"$entry/environ" | grep -q "^$1=$2/"; then kill -9 "\${entry#/proc/}"; fi
  done
done
rm -rf -- "$3"
`;

/** Makes sure that a temporary executor leaves nothing behind, even when it is killed. Disposing ends the watch. */
export function guardOrphans(owner: string, folder: string): Disposable {
  const child = spawn("/bin/sh", ["-c", script, "opencf-guard", markVariable, owner, folder], {
    cwd: "/",
    env: { PATH: process.env["PATH"] ?? "/usr/bin:/bin" },
    stdio: ["pipe", "ignore", "ignore"],
    detached: true,
  });
  // Without a guard the executor works all the same.
  child.on("error", () => {});
  child.stdin.on("error", () => {});
  child.unref();
  (child.stdin as unknown as { unref?(): void }).unref?.();
  return { [Symbol.dispose]: () => void child.stdin.end("done\n") };
}
