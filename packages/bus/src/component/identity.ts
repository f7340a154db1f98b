import { randomBytes } from "node:crypto";
import { networkInterfaces } from "node:os";

export const hex = (bytes: number): string => randomBytes(bytes).toString("hex");

/** `<index>-<32 hex digits>`, new at every start. */
export const newUuid = (index: number): string => `${index}-${hex(16)}`;

/** `2026-01-02 03:04:05 +0000`: what gorouter writes and a Ruby `Time.parse` reads. */
export const startText = (ms: number): string => new Date(ms).toISOString().replace("T", " ").replace(/\..*/, " +0000");

/** `0d:1h:2m:3s` */
export function uptimeText(ms: number): string {
  const s = Math.max(0, Math.floor(ms / 1_000));
  return `${Math.floor(s / 86_400)}d:${Math.floor(s / 3_600) % 24}h:${Math.floor(s / 60) % 60}m:${s % 60}s`;
}

/** `host:port`, with brackets around an IPv6 address. */
export const hostPort = (host: string, port: number): string => (host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`);

/** What others can reach: an address that stands for all of this machine's is no address to go to. */
export function reachable(host: string): string {
  if (host !== "0.0.0.0" && host !== "::" && host !== "") return host;
  const outside = Object.values(networkInterfaces()).flat().find((each) => each && !each.internal && each.family === "IPv4");
  return outside?.address ?? "127.0.0.1";
}
