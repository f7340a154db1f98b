import { randomUUID } from "node:crypto";
import type { Readable } from "node:stream";
import type { LimitName } from "../container/capabilities.ts";
import type { Backend, Container, ContainerSpec, ExitStatus } from "../container/container.ts";
import { createPortPool } from "../port-pool.ts";

/** What a case gets: a fresh backend that was not opened yet, and an empty folder. */
export interface ConformanceContext {
  backend: Backend;
  /** Another backend object of the same kind, as after a restart of the executor. */
  again(): Promise<Backend>;
  dir: string;
}

export interface ConformanceCase {
  title: string;
  /** Throws {@link Skipped} where the backend declares that it lacks what the case is about. */
  check(context: ConformanceContext): Promise<void>;
}

/** Thrown by a case that is about something the backend does not claim. Report it as skipped, with its message. */
export class Skipped extends Error {
  override readonly name = "Skipped";
}

/** Throws Skipped unless the backend says that it keeps this limit. */
export function need(backend: Backend, limit: LimitName): void {
  if (!backend.capabilities.enforces[limit]) throw new Skipped(`the backend does not claim to keep: ${limit}`);
}

// Two runs on one machine must not take each other's processes for their own leftovers.
export const owner = `conformance-${randomUUID()}`;
const ports = createPortPool();
let counter = 0;

export async function specOf(more: Partial<ContainerSpec> = {}): Promise<ContainerSpec> {
  const port = await ports.take();
  port[Symbol.dispose]();
  return {
    handle: `case-${process.pid}-${counter++}`, hostPort: port.number, memoryBytes: 256 * 1024 ** 2, diskBytes: 64 * 1024 ** 2, fileDescriptors: 256, ...more,
  };
}

export const path = process.env["PATH"] ?? "/usr/bin:/bin";
export const sh = (script: string, ...args: string[]): { argv: string[]; env: string[] } => ({ argv: ["/bin/sh", "-c", script, "case", ...args], env: [`PATH=${path}`] });

export async function textOf(stream: Readable): Promise<string> {
  let text = "";
  stream.setEncoding("utf8");
  for await (const chunk of stream) text += chunk as string;
  return text;
}

export async function until(what: string, check: () => Promise<boolean>, timeoutMs = 10_000): Promise<void> {
  for (const deadline = Date.now() + timeoutMs; !(await check()); ) {
    if (Date.now() > deadline) throw new Error(`not within ${timeoutMs} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

export async function opened({ backend, dir }: ConformanceContext, more: Partial<ContainerSpec> = {}): Promise<Container> {
  await backend.open({ dir, owner });
  return await backend.create(await specOf(more));
}

/** Runs to the end and answers everything it said. */
export async function runToEnd(container: Container, spec: { argv: string[]; env: string[] }): Promise<{ status: ExitStatus; out: string; err: string }> {
  const running = await container.run(spec);
  const [out, err, status] = await Promise.all([textOf(running.stdout), textOf(running.stderr), running.exited]);
  return { status, out, err };
}

/** Starts something that goes on until it is stopped, and throws away what it says. */
export async function runOn(container: Container, script = "while :; do sleep 1000; done"): Promise<void> {
  const running = await container.run(sh(script));
  running.stdout.resume();
  running.stderr.resume();
  await until("it runs", async () => (await container.usage()).processes >= 1);
}
