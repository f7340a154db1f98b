import { connect } from "node:net";
import { request } from "undici";
import { type Clock, sleep } from "../ports.ts";
import type { InstanceSpec } from "./spec.ts";

export interface Address {
  host: string;
  port: number;
}

export type HealthCheck = InstanceSpec["healthCheck"];

/** Pause between the checks of an instance that is starting. */
const startupIntervalMs = 250;
/** A running instance fails only when this many checks in a row failed: one long garbage collection is no crash. */
const livenessAttempts = 3;
const livenessRetryMs = 1_000;

/** One look. Never rejects. */
export async function probe(check: HealthCheck, address: Address, signal: AbortSignal): Promise<boolean> {
  const limit = AbortSignal.any([signal, AbortSignal.timeout(check.invocationTimeoutMs)]);
  switch (check.type) {
    case "port":
      return await canConnect(address, limit);
    case "http":
      return await answersOk(address, check.path, limit);
    case "process":
    case "none":
      return true;
  }
}

function canConnect({ host, port }: Address, signal: AbortSignal): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host, port });
    const end = (ok: boolean): void => {
      signal.removeEventListener("abort", giveUp);
      socket.destroy();
      resolve(ok);
    };
    const giveUp = (): void => end(false);
    socket.once("connect", () => end(true));
    socket.once("error", () => end(false));
    if (signal.aborted) giveUp();
    else signal.addEventListener("abort", giveUp, { once: true });
  });
}

async function answersOk({ host, port }: Address, path: string, signal: AbortSignal): Promise<boolean> {
  try {
    const { statusCode, body } = await request(`http://${host.includes(":") ? `[${host}]` : host}:${port}${path}`, {
      signal,
      headers: { "user-agent": "opencf-health-check", connection: "close" },
    });
    body.on("error", () => {});
    body.destroy();
    return statusCode === 200;
  } catch {
    return false;
  }
}

/** Probes until one look succeeds: true; or until the time is up or the signal aborts: false. */
export async function waitUntilUp(check: HealthCheck, address: Address, clock: Clock, signal: AbortSignal): Promise<boolean> {
  const deadline = clock.now() + check.timeoutMs;
  while (!signal.aborted) {
    if (await probe(check, address, signal)) return !signal.aborted;
    if (clock.now() + startupIntervalMs > deadline) return false;
    await sleep(clock, startupIntervalMs, signal);
  }
  return false;
}

/** Probes for ever; resolves true when the instance no longer answers, false when the signal aborts. */
export async function waitUntilDown(check: HealthCheck, address: Address, clock: Clock, signal: AbortSignal): Promise<boolean> {
  if (check.type === "process" || check.type === "none") return false;
  while (!signal.aborted) {
    await sleep(clock, check.intervalMs, signal);
    let failures = 0;
    while (!signal.aborted && !(await probe(check, address, signal))) {
      failures += 1;
      if (failures >= livenessAttempts) return !signal.aborted;
      await sleep(clock, livenessRetryMs, signal);
    }
  }
  return false;
}
