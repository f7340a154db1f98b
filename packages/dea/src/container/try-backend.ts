import { randomUUID } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { DeaError } from "../errors.ts";
import { type Clock, systemClock } from "../ports.ts";
import type { Backend, ExitStatus } from "./container.ts";

export interface TrialOptions {
  /** What is run. Default `/bin/true`. */
  argv?: readonly string[];
  /** Default 30 000 ms. */
  timeoutMs?: number;
  clock?: Clock;
}

/** Just below the ports of instances: nobody listens there, it only stands in the container's rules. */
const trialPort = 61_000;
/** So much of what the program said is told. */
const maxOutput = 2_000;

/**
 * Runs one program in a container of a backend that was not opened, and takes everything away again: what a machine claims to
 * have is not yet what works, as in a container that may not mount. Ends the backend, so make another one to work with.
 * Throws DEA_CONTAINER, DEA_UNSUPPORTED with what went wrong.
 */
export async function tryBackend(backend: Backend, { argv = ["/bin/true"], timeoutMs = 30_000, clock = systemClock }: TrialOptions = {}): Promise<void> {
  const dir = await mkdtemp(join(tmpdir(), "opencf-dea-trial-"));
  try {
    await backend.open({ dir: join(dir, "instances"), owner: `trial-${randomUUID()}`, ephemeral: dir });
    const container = await backend.create({ handle: "trial", hostPort: trialPort, memoryBytes: 256 * 1024 ** 2, diskBytes: 16 * 1024 ** 2, fileDescriptors: 1_024 });
    try {
      const { stdout, stderr, exited } = await container.run({ argv, env: ["PATH=/usr/local/bin:/usr/bin:/bin"] });
      const said = Promise.all([firstOf(stdout), firstOf(stderr)]);
      const { code, signal } = await within(clock, timeoutMs, exited);
      if (code !== 0) throw new DeaError("DEA_CONTAINER", `${argv[0] ?? ""} ended with ${code ?? signal ?? "no status"} in a container: ${(await said).join(" ").trim()}`);
    } finally {
      await container.destroy();
    }
  } finally {
    await backend[Symbol.asyncDispose]();
    await rm(dir, { recursive: true, force: true, maxRetries: 3 });
  }
}

async function within(clock: Clock, timeoutMs: number, exited: Promise<ExitStatus>): Promise<ExitStatus> {
  let timer: Disposable | undefined;
  const late = new Promise<never>((_, fail) => {
    timer = clock.after(timeoutMs, () => fail(new DeaError("DEA_CONTAINER", `a container did not end within ${timeoutMs} ms`)));
  });
  try {
    return await Promise.race([exited, late]);
  } finally {
    timer?.[Symbol.dispose]();
  }
}

/** The beginning of what it says; everything is read, so that it never waits. */
async function firstOf(stream: Readable): Promise<string> {
  let text = "";
  try {
    for await (const chunk of stream) if (text.length < maxOutput) text += String(chunk);
  } catch {
    // What was said until then is what there is.
  }
  return text.slice(0, maxOutput);
}
